import { z } from "zod";
import { longestTarget } from "./audit.ts";

/**
 * What an operator did, or tried, through the admin API. A change leaves two events: `begun`, stored before it is made, and `done`
 * or `failed`. What is refused leaves one, which may stand for several that are alike; so does what was found out (`noted`). Never a secret.
 */
export const actionSchema = z.object({
  /** Which of its emitter's events it is. */
  seq: z.int().positive().optional(),
  /** Unique over all replicas; `begun` and what follows it share it. */
  id: z.string().max(64),
  at: z.number().int(),
  /** Absent where nobody known asked. */
  operator: z.string().max(64).optional(),
  /** `<what>.<verb>`, such as `keys.create`. */
  action: z.string().max(128),
  tenant: z.string().max(64).optional(),
  /** What it is done to, such as an agent or a key's id; in `done` what came of it, where that is something else. */
  subject: z.string().max(256).optional(),
  /** The server and tool that it is about, and the hash of the tool's definition and of the one approved before. */
  server: z.string().max(128).optional(),
  target: z.string().max(longestTarget).optional(),
  definition: z.string().max(64).optional(),
  previousDefinition: z.string().max(64).optional(),
  result: z.enum(["begun", "done", "failed", "refused", "noted"]),
  /** Why it failed or was refused. */
  fault: z.string().max(64).optional(),
  /** How many refused calls this event stands for. */
  count: z.number().int().positive().optional(),
});
export type Action = z.infer<typeof actionSchema>;
