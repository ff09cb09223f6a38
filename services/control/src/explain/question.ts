import { a2aOperationOf, a2aOperations } from "@sluice/contracts";
import { z } from "zod";

const name = z.string().min(1).max(2_048);

/** What can be asked about, of which a question names one. */
const askedKinds = ["tool", "prompt", "resource", "a2a", "skill"] as const;

/** A call to be explained: who, what, and as far as rules look at it, with which arguments. */
export const questionSchema = z
  .strictObject({
    tenant: z.string().optional().describe("may be left out where there is only one"),
    agent: z
      .string()
      .min(1)
      .max(256)
      .describe("the agent's id; its name and owner are those of the configuration unless given"),
    agentName: z.string().max(256).optional(),
    owner: z.string().max(256).optional(),
    scopes: z.array(z.string()).optional().describe("of the agent's token"),
    issuer: z.string().optional().describe("of the agent's token"),
    user: z.string().optional().describe("on whose behalf the agent acts"),
    tool: name.optional(),
    prompt: name.optional(),
    resource: name.optional().describe("a URI"),
    a2a: name.optional().describe("an agent behind the gateway, by the name of its endpoint"),
    method: z
      .string()
      .refine((method) => a2aOperationOf(method) !== undefined, {
        error: `is no operation of A2A: ${a2aOperations.join(", ")}, or what another revision calls one`,
      })
      .optional()
      .describe("with a2a: the operation, as any revision calls it; SendMessage unless given"),
    skill: name.optional().describe("the id of a skill, as agents' cards show it"),
    server: z.string().optional().describe("must be an endpoint of the tenant; rules are about the server's own names"),
    args: z
      .record(z.string(), z.unknown())
      .optional()
      .describe("the arguments; without them a condition on arguments stays open"),
  })
  .refine((question) => askedKinds.filter((kind) => question[kind] !== undefined).length === 1, {
    error: "name one of tool, prompt, resource, a2a and skill",
  })
  .refine(({ method, a2a }) => method === undefined || a2a !== undefined, {
    error: "goes with a2a alone",
    path: ["method"],
  });
export type Question = z.infer<typeof questionSchema>;

const at = z.object({ file: z.string(), line: z.int(), column: z.int() });
const condition = z.enum(["met", "unmet", "failed", "open"]);

export const explanationSchema = z.object({
  decision: z.enum(["allow", "deny", "depends on arguments"]),
  rule: z.string().describe("what decided: an entry of a rule, a setting, default-deny or default-allow"),
  at: at.optional().describe("where that is written"),
  argumentRule: z
    .string()
    .optional()
    .describe("the rule that would allow it with other arguments, or denies it with these"),
  shadow: z
    .object({ decision: z.enum(["allow", "deny"]), rule: z.string(), at: at.optional() })
    .optional()
    .describe("what the decision would be, did the rules in shadow mode count; where that differs"),
  statements: z
    .array(
      z.object({
        rule: z.string(),
        at: at.optional(),
        effect: z.enum(["allow", "deny"]),
        pattern: z.string(),
        mode: z.enum(["enforce", "shadow"]),
        when: z.string().optional(),
        condition: condition.optional(),
        says: z.string(),
        decides: z.boolean(),
      }),
    )
    .describe("what each pattern that fits says, denials first"),
  silent: z.array(z.string()).readonly().describe("rules of the agent that have no pattern that fits"),
  others: z.int().describe("rules that are about other agents"),
  allowed: z.array(z.string()).readonly().optional().describe("what a refusal says that the agent may use"),
});
export type ExplainedCall = z.infer<typeof explanationSchema>;
