import { hash } from "node:crypto";
import { z } from "zod";
import { longestTarget } from "./audit.ts";

/**
 * How far an endpoint's tool definitions are held to what was approved: `warn` tells of changes, `pinned` trusts what the
 * server lists at first sight and quarantines what is new or changed later, `approved` trusts nothing before an operator does.
 */
export const toolDefinitionsSchema = z.enum(["off", "warn", "pinned", "approved"]);
export type ToolDefinitions = z.infer<typeof toolDefinitionsSchema>;

/** SHA-256 of a definition's canonical JSON (RFC 8785), in hex. */
export const definitionHashSchema = z.string().regex(/^[0-9a-f]{64}$/, "must be 64 hex digits");

/** What was decided about one definition; `pending` waits for an operator and quarantines its tool. */
const pinStateSchema = z.enum(["approved", "pending", "rejected"]);
export type PinState = z.infer<typeof pinStateSchema>;

/** One definition that a tool was seen with. Times are Unix milliseconds. */
const seenDefinitionSchema = z.object({
  hash: definitionHashSchema,
  state: pinStateSchema,
  seenAt: z.int(),
  decidedAt: z.int().optional(),
  /** Who decided: an operator, or `firstSight`. */
  by: z.string().optional(),
});
export type SeenDefinition = z.infer<typeof seenDefinitionSchema>;

/** What is known of one tool of a server: the value of its key in the bucket. */
export const toolPinSchema = z.object({
  tool: z.string().max(longestTarget),
  /** In the order in which they were first seen. */
  definitions: z.array(seenDefinitionSchema),
});
export type ToolPin = z.infer<typeof toolPinSchema>;

/** Who decided where nobody had to. */
export const firstSight = "first sight";

/** Definitions of one tool that are remembered; a new one takes the place of the oldest that is not approved. */
export const mostDefinitionsPerTool = 16;

/** Tools of one server that are remembered; one that lists more cannot be pinned. */
export const mostPinnedTools = 10_000;

/** KV: `<tenant>.<server>.<tool>` holds a pin, `<tenant>.<server>._` says that the server was seen. Only control writes. */
export const pinsBucket = "tool-pins";
/** Stands in the bucket from its making, so that who reads it knows that it did. */
export const pinsMarker = "_._._";
/** KV: `<tenant>.<server>.<hash>` holds the text of a definition, gzipped. Only control reads and writes. */
export const definitionsBucket = "tool-definitions";

/** Stands for a tool in a key: no text from outside is part of one. */
export function pinKey({ tenant, server }: { tenant: string; server: string }, tool: string): string {
  return `${tenant}.${server}.${hash("sha256", tool, "hex").slice(0, 32)}`;
}

/** The key that says that a server's tools were seen as a whole. */
export function seenKey({ tenant, server }: { tenant: string; server: string }): string {
  return `${tenant}.${server}._`;
}

/** What egress saw and does not know (`gw.ask.v1.control.observe`). */
export const observationSchema = z.object({
  tenant: z.string().max(64),
  server: z.string().max(128),
  /** The server has no tools but these and those of earlier observations. */
  isWhole: z.boolean(),
  /** What a server lists that was never seen before is trusted. */
  trustsFirstSight: z.boolean(),
  definitions: z.array(
    z.object({
      tool: z.string().max(longestTarget),
      hash: definitionHashSchema,
      /** The canonical JSON, gzipped, in base64; absent where it is too large to be kept. */
      text: z.string().optional(),
    }),
  ),
});
export type Observation = z.infer<typeof observationSchema>;
export type ObservedDefinition = Observation["definitions"][number];

/** What is known of them now. */
export interface ObservationAnswer {
  /** Absent where nothing could be stored: what was observed stays unknown. */
  readonly pins?: readonly { readonly revision: number; readonly pin: ToolPin }[];
}

/** Whether a tool may be shown and called with this definition; undefined where it is not known at all. */
export function isApproved(pin: ToolPin | undefined, definition: string): boolean | undefined {
  const seen = pin?.definitions.find((one) => one.hash === definition);
  return seen && seen.state === "approved";
}

/** Whether one of its definitions waits to be decided about: where the server shows that one, the tool is out of use. */
export function isQuarantined(pin: ToolPin | undefined): boolean {
  return pin?.definitions.some(({ state }) => state === "pending") === true;
}
