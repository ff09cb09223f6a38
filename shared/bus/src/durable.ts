import { decodeJson, encodeJson, Fault } from "@sluice/contracts";
import type { Bus } from "./bus.ts";
import type { Incoming } from "./incoming.ts";

/** What JetStream answers to a publish: `{stream, seq}` or `{error}`. */
interface PubAck {
  readonly stream?: string;
  readonly seq?: number;
  readonly error?: { readonly description?: string; readonly err_code?: number };
}

/** JetStream's word for a subject that has as many messages as it may have. */
const subjectFull = 10_077;

/** Publishes and resolves once JetStream has stored the message. @throws Fault `unavailable` where it was not. */
export async function store(
  bus: Bus,
  message: { subject: string; payload: Uint8Array },
  timeoutMs: number,
): Promise<void> {
  const answer = await bus.ask(message.subject, message.payload, { timeoutMs });
  if (!isStored(answer)) throw new Fault("unavailable", "the message could not be stored");
}

/** As `store`, where a stream bounds each subject: false where there is no room on this one. @throws Fault `unavailable` */
export async function storeWhereRoom(
  bus: Bus,
  message: { subject: string; payload: Uint8Array },
  timeoutMs: number,
): Promise<boolean> {
  const answer = await bus.ask(message.subject, message.payload, { timeoutMs });
  if (isStored(answer)) return true;
  if (ackOf(answer).error?.err_code === subjectFull) return false;
  throw new Fault("unavailable", "the message could not be stored");
}

/** How many messages a stream holds on each subject that matches. @throws Fault */
export async function countBySubject(
  bus: Bus,
  { stream, subjects }: { readonly stream: string; readonly subjects: string },
  timeoutMs: number,
): Promise<ReadonlyMap<string, number>> {
  const question = encodeJson({ subjects_filter: subjects });
  const answer = await bus.ask(`$JS.API.STREAM.INFO.${stream}`, question, { timeoutMs });
  const { state } = decodeJson<{ state?: { subjects?: Record<string, number> } }>(answer.data);
  if (state === undefined) throw new Fault("unavailable", "the stream is not there");
  return new Map(Object.entries(state.subjects ?? {}));
}

/** Where a message was stored that JetStream says it stored. */
export function sequenceOf(message: Incoming): number {
  return ackOf(message).seq ?? 0;
}

/** Whether a message is JetStream's word that it stored what was published. */
export function isStored(message: Incoming): boolean {
  const ack = ackOf(message);
  return ack.error === undefined && typeof ack.stream === "string" && (ack.seq ?? 0) > 0;
}

const ackOf = (message: Incoming) => decodeJson<PubAck>(message.data);
