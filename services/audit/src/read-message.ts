import { actionSchema, asBuffer, intentSchema, outcomeSchema, streamEventSchema } from "@sluice/contracts";
import { z } from "zod";
import { actionRow, intentRow, outcomeRow, storable, streamRow, type EventRow } from "./event-row.ts";

/** A message that can never be stored. The reason quotes nothing of it. */
export class Poison extends Error {
  override readonly name = "Poison";
}

/** One event of a message, with its row. */
export interface ReadEvent {
  readonly row: EventRow;
  readonly event: unknown;
}

/** What can be stored of a message, and what can't be, each with the reason. */
export interface ReadMessage {
  readonly events: readonly ReadEvent[];
  readonly unreadable: readonly { readonly event: unknown; readonly reason: string }[];
}

const mostReasons = 5;
const latestMs = Date.UTC(9999, 11, 31);
const highestStatus = 999;
const envelopeSchema = z.union([
  z.object({ from: z.string(), calls: z.array(z.unknown()).min(1) }),
  z.object({ from: z.string(), outcomes: z.array(z.unknown()).min(1) }),
  z.object({ from: z.string(), streamEvents: z.array(z.unknown()).min(1) }),
  z.object({ from: z.string(), actions: z.array(z.unknown()).min(1) }),
]);
const at = z.int().min(0).max(latestMs, "not a time that can be stored");
const storableIntent = intentSchema.extend({ at });
const storableAction = actionSchema.extend({ at });
const storableOutcome = outcomeSchema.extend({ at, status: z.int().min(0).max(highestStatus, "not an HTTP status") });
const storableStreamEvent = streamEventSchema.extend({ at, number: z.int().min(1) });

/** How JSON writes what Postgres does not take: as bytes neither is valid here. */
const mayBeUnstorable = /\\u(?:0000|d[89a-f])/i;

/** The events of one message of the AUDIT stream: one that can't be stored takes no other with it. @throws Poison */
export function readMessage(data: Uint8Array): ReadMessage {
  const text = asBuffer(data).toString("utf8");
  const parsed = envelopeSchema.safeParse(parse(text));
  if (!parsed.success) throw new Poison(`it does not fit the schema: ${reasonsOf(parsed.error.issues)}`);
  const message = parsed.data;
  const fixed = mayBeUnstorable.test(text) ? storable : (row: EventRow) => row;
  if ("outcomes" in message)
    return readEach(message.outcomes, storableOutcome, (outcome) => fixed(outcomeRow(outcome)));
  if ("streamEvents" in message)
    return readEach(message.streamEvents, storableStreamEvent, (event) => fixed(streamRow(event)));
  if ("actions" in message)
    return readEach(message.actions, storableAction, (action) => fixed(actionRow(action, message.from)));
  return readEach(message.calls, storableIntent, (intent) => fixed(intentRow(intent, message.from)));
}

function readEach<Schema extends z.ZodType>(
  all: readonly unknown[],
  schema: Schema,
  rowOf: (event: z.infer<Schema>) => EventRow,
): ReadMessage {
  const events: ReadEvent[] = [];
  const unreadable: { event: unknown; reason: string }[] = [];
  for (const event of all) {
    const parsed = schema.safeParse(event);
    if (parsed.success) events.push({ row: rowOf(parsed.data), event });
    else unreadable.push({ event, reason: `it does not fit the schema: ${reasonsOf(parsed.error.issues)}` });
  }
  return { events, unreadable };
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new Poison("it is not JSON");
  }
}

function reasonsOf(issues: readonly z.core.$ZodIssue[]): string {
  return issues
    .slice(0, mostReasons)
    .map((issue) => `${issue.path.join(".")}: ${issue.message}`)
    .join("; ");
}
