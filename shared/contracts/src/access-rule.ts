import { z } from "zod";

/** `*` stands for any run of characters; everything else for itself. */
export const patternSchema = z.string().min(1).max(256);

/** Characters of a condition. */
const longestCondition = 2_048;

export const accessRuleSchema = z.strictObject({
  agentPattern: patternSchema,
  /** A condition in CEL: the rule is there only for calls that meet it. What it may say stands in docs/policy.md. */
  when: z.string().min(1).max(longestCondition).optional(),
  /** `shadow`: what the rule would change is recorded, and nothing is decided by it. */
  mode: z.enum(["enforce", "shadow"]).optional(),
  allowedTools: z.array(patternSchema).default([]),
  deniedTools: z.array(patternSchema).default([]),
  /** Where a rule of an agent states what is allowed, even as an empty list, nothing else of that kind is; else everything that is not denied. */
  allowedPrompts: z.array(patternSchema).optional(),
  deniedPrompts: z.array(patternSchema).optional(),
  /** Patterns of URIs; of a template's text where templates are listed. */
  allowedResources: z.array(patternSchema).optional(),
  deniedResources: z.array(patternSchema).optional(),
  /** Patterns of the names of A2A endpoints: which of the agents behind the gateway may be called. */
  allowedAgents: z.array(patternSchema).optional(),
  deniedAgents: z.array(patternSchema).optional(),
  /** Patterns of the ids of skills, as agents' cards show them. */
  allowedSkills: z.array(patternSchema).optional(),
  deniedSkills: z.array(patternSchema).optional(),
});
export type AccessRule = z.infer<typeof accessRuleSchema>;
