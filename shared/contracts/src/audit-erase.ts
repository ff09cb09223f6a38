import { z } from "zod";

/** What control asks the audit service where somebody is to be forgotten, on `gw.ask.v1.audit.<verb>`. */

/** For the verb `person`: `subject` is an agent's id or name, an owner, a user or an address, as the trail has it. */
export const personQuestionSchema = z.strictObject({
  tenant: z.string().min(1).max(64),
  subject: z
    .string()
    .min(1)
    .max(512)
    // oxlint-disable-next-line no-control-regex
    .regex(/^[^\u0000]*$/, "must not have the character U+0000"),
});

/** For the verb `erase`; the commitment is the one that `person` told. */
export const eraseQuestionSchema = z.strictObject({
  tenant: z.string().min(1).max(64),
  commitment: z.string().regex(/^[0-9a-f]{64}$/, "must be 64 hex digits"),
});

/** What it touches, or has touched: events that speak of the person, which stay, and what was captured and kept of their calls. */
export const personAnswerSchema = z.object({
  commitment: z.string().describe("SHA-256 in hex: stands for the person in the tenant's trail, afterwards too"),
  events: z.int(),
  captured: z.int(),
  content: z.int(),
});
export type PersonAnswer = z.output<typeof personAnswerSchema>;
