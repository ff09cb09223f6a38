import { randomBytes } from "node:crypto";
import { decodeJson, encodeJson, Fault } from "@sluice/contracts";
import type { Bus } from "./bus.ts";
import { sequenceOf } from "./durable.ts";

const askTimeoutMs = 5_000;
const noMessageFound = 10_037;
/** More than the headers of a message take. */
const headersBytes = 2_048;

/**
 * Publishes to a stream as its only publisher, many messages at a time: each is stored right behind the one before it, or not at
 * all. So what is published twice or too late, by this process or by one that is gone, is refused by JetStream, and nothing is
 * ever missing before what is stored. (Servers of a cluster refuse `Nats-Expected-Last-Subject-Sequence` on a second message of a
 * subject while the first is under way; sequence and id of the last message of the stream can be said ahead.)
 */
export class ChainedPublisher {
  readonly #bus: Bus;
  readonly #stream: string;
  /** Undefined where it has to begin anew. */
  #link: { readonly sequence: number; readonly id?: string } | undefined;
  #chain = "";
  #links = 0;

  constructor(bus: Bus, stream: string) {
    this.#bus = bus;
    this.#stream = stream;
  }

  /** Whether nothing failed since it began. */
  get whole(): boolean {
    return this.#link !== undefined;
  }

  /** The longest message, in bytes. */
  get room(): number {
    return (this.#bus.nats.info?.max_payload ?? 2 ** 20) - headersBytes;
  }

  /** Begins behind the last message of the stream. What is to be published is to be decided after this. @throws Fault */
  async begin(): Promise<void> {
    const answer = await this.#bus.ask(`$JS.API.STREAM.INFO.${this.#stream}`, new Uint8Array(), {
      timeoutMs: askTimeoutMs,
    });
    const { state } = decodeJson<{ state?: { last_seq: number } }>(answer.data);
    if (state === undefined) throw new Fault("unavailable", "the stream is not there");
    this.#chain = randomBytes(8).toString("hex");
    this.#link = { sequence: state.last_seq };
  }

  /** The last message of a subject; undefined where the stream has none. @throws Fault */
  async lastOf(subject: string): Promise<Uint8Array | undefined> {
    const question = encodeJson({ last_by_subj: subject });
    const answer = await this.#bus.ask(`$JS.API.STREAM.MSG.GET.${this.#stream}`, question, { timeoutMs: askTimeoutMs });
    const { message, error } = decodeJson<{
      message?: { data?: string };
      error?: { err_code?: number; description?: string };
    }>(answer.data);
    if (message !== undefined) return Buffer.from(message.data ?? "", "base64");
    if (error?.err_code === noMessageFound) return undefined;
    throw new Fault("unavailable", `the stream can't be read: ${error?.description ?? "no reason given"}`);
  }

  /** Resolves once it is stored. @throws Fault `unavailable` where it is not known to be: then all after it are refused, until it begins anew. */
  async publish(subject: string, payload: Uint8Array): Promise<void> {
    const before = this.#link;
    if (before === undefined) throw broken();
    const chain = this.#chain;
    const id = `${chain}-${++this.#links}`;
    const link = { sequence: before.sequence + 1, id };
    this.#link = link;
    const headers = {
      "Nats-Msg-Id": id,
      "Nats-Expected-Stream": this.#stream,
      "Nats-Expected-Last-Sequence": String(before.sequence),
      ...(before.id !== undefined && { "Nats-Expected-Last-Msg-Id": before.id }),
    };
    try {
      const answer = await this.#bus.ask(subject, payload, { timeoutMs: askTimeoutMs, headers });
      if (sequenceOf(answer) !== link.sequence) throw broken();
    } catch (error) {
      if (chain === this.#chain) this.#link = undefined;
      throw error;
    }
  }
}

function broken(): Fault {
  return new Fault("unavailable", "something else was stored meanwhile, or nothing");
}
