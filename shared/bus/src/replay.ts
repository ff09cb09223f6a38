import { decodeFrame, encodeJson, Fault, streams, subjects, type Frame } from "@sluice/contracts";
import type { Bus } from "./bus.ts";

const timeoutMs = 5_000;
const notFound = 404;

export interface StoredFrame {
  readonly frame: Frame;
  /** Where to go on: the position in JetStream after this frame. */
  readonly nextSequence: number;
}

interface StreamName {
  readonly tenant: string;
  readonly stream: string;
}

/** Reads one stored frame of a stream at or after a position, without a consumer (measurement 11); undefined where there is none yet. */
export async function storedFrame(bus: Bus, of: StreamName, fromSequence: number): Promise<StoredFrame | undefined> {
  return await get(bus, { seq: fromSequence, next_by_subj: subjects.stream(of.tenant, of.stream) });
}

/** Reads the last frame of a stream that is stored; undefined where there is none. */
export async function lastFrame(bus: Bus, { tenant, stream }: StreamName): Promise<StoredFrame | undefined> {
  return await get(bus, { last_by_subj: subjects.stream(tenant, stream) });
}

async function get(bus: Bus, question: object): Promise<StoredFrame | undefined> {
  const subject = `$JS.API.DIRECT.GET.${streams.replies.name}`;
  const answer = await bus.ask(subject, encodeJson(question), { timeoutMs });
  const status = answer.headers?.code ?? 0;
  if (status === notFound) return undefined;
  const sequence = Number(answer.headers?.get("Nats-Sequence"));
  if (status !== 0 || !Number.isSafeInteger(sequence) || sequence === 0) {
    throw new Fault("unavailable", "stored answers cannot be read at the moment");
  }
  return { frame: decodeFrame(answer.data), nextSequence: sequence + 1 };
}

/** Takes away what is stored of a tenant's streams in front of a position. */
export async function purgeFrames(bus: Bus, tenant: string, beforeSequence: number): Promise<void> {
  const question = encodeJson({ filter: subjects.streamsOfTenant(tenant), seq: beforeSequence });
  await bus.ask(`$JS.API.STREAM.PURGE.${streams.replies.name}`, question, { timeoutMs });
}
