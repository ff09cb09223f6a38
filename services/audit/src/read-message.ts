import { asBuffer, confName, trailEventSchemas, type TrailEvent, type TrailEventKind } from "@sluice/contracts";
import { z } from "zod";
import { rowOf, storable, type NewEvent } from "./event-row.ts";
import { mayTell } from "./who-tells-what.ts";

/** A message that can never be stored. The reason quotes nothing of it. */
export class Poison extends Error {
  override readonly name = "Poison";
}

/** One event of a message, with its row. */
export interface ReadEvent {
  readonly row: NewEvent;
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
const highestInt = 2 ** 31 - 1;
const from = z.string().min(1).max(64);
const envelopeSchema = z.union([
  z.object({ from, calls: z.array(z.unknown()).min(1) }),
  z.object({ from, events: z.array(z.unknown()).min(1) }),
]);
const kindSchema = z.object({ event: z.enum(Object.keys(trailEventSchemas) as [TrailEventKind]) });

const at = z.int().min(0).max(latestMs, "not a time that can be stored");
const status = z.int().min(0).max(highestStatus, "not an HTTP status");
const count = z.int().positive().max(highestInt);
/** A log is called by it, and a subject has it as a part. */
const tenant = confName;
const { intent, outcome, action, stream, refusals, content, emitter } = trailEventSchemas;
/** What the columns hold, where that is less than what the contract says. */
const schemas = {
  intent: intent.extend({ at, tenant }),
  outcome: outcome.extend({ at, tenant, status }),
  action: action.extend({ at, tenant: tenant.optional(), count: count.optional() }),
  stream: stream.extend({ at, tenant, number: z.int().min(1) }),
  refusals: refusals.extend({ at, tenant: tenant.optional(), until: at, status, count }),
  content: content.extend({ at, tenant, data: z.base64() }),
  emitter: emitter.extend({ at }),
};

/** How JSON writes what Postgres does not take: as bytes neither is valid here. */
const mayBeUnstorable = /\\u(?:0000|d[89a-f])/i;

/**
 * The events of one message of the AUDIT stream: one that can't be stored, or that is not of who may publish on the subject, takes
 * no other with it. @throws Poison
 */
export function readMessage(data: Uint8Array, subject: string): ReadMessage {
  const text = asBuffer(data).toString("utf8");
  const parsed = envelopeSchema.safeParse(parse(text));
  if (!parsed.success) throw new Poison(unfit(parsed.error));
  const message = parsed.data;
  const fixed = mayBeUnstorable.test(text) ? storable : (event: unknown) => event;
  const events: ReadEvent[] = [];
  const unreadable: { event: unknown; reason: string }[] = [];
  for (const event of "calls" in message ? message.calls : message.events) {
    const read = readEvent(fixed(event), "calls" in message ? "intent" : undefined);
    if (!read.success) unreadable.push({ event, reason: unfit(read.error) });
    else if (!mayTell(subject, read.data)) unreadable.push({ event, reason: "it is not for this service to tell" });
    else events.push({ row: rowOf(read.data, message.from), event });
  }
  return { events, unreadable };
}

type EventRead =
  { readonly success: true; readonly data: TrailEvent } | { readonly success: false; readonly error: z.ZodError };

function readEvent(event: unknown, kind: TrailEventKind | undefined): EventRead {
  const named = kind === undefined ? kindSchema.safeParse(event) : { success: true as const, data: { event: kind } };
  if (!named.success) return named;
  const read = schemas[named.data.event].safeParse(event);
  if (!read.success) return { success: false, error: read.error };
  return { success: true, data: { ...read.data, ...named.data } as TrailEvent };
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new Poison("it is not JSON");
  }
}

function unfit({ issues }: z.ZodError): string {
  const reasons = issues.slice(0, mostReasons).map((issue) => `${issue.path.join(".")}: ${issue.message}`);
  return `it does not fit the schema: ${reasons.join("; ")}`;
}
