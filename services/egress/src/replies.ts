import { openBody, purgeFrames, sendBody, StreamWriter, type Bus } from "@sluice/bus";
import { chunkBytes, encodeHeadAndBody, Fault, toFault, type ReplyHead } from "@sluice/contracts";
import type { ActiveCall, Ending } from "./active-call.ts";
import { ReplyShares } from "./reply-shares.ts";
import { sessionHeader, streamHead, type StreamHeadOptions } from "./stream-head.ts";

/** What an answer by A2A says beside its body. */
type Told = Pick<ReplyHead, "dialect" | "renames">;

/** The bytes of an answer that does not fit one message, and the way to stop them. */
export interface LargeBody {
  readonly start: Buffer;
  readonly rest: AsyncIterable<Buffer> | Iterable<Buffer>;
  readonly stop: (fault: Fault) => void;
}

const bodyIdleTimeoutMs = 30_000;
/** How long an answer waits for a bus that is away. */
const awayMs = 30_000;
const noBody = Buffer.alloc(0);

export interface RepliesOptions {
  readonly maxAnswerBytes: number;
  /** What this replica may fill of REPLIES, at this moment. */
  readonly mostBytes: () => number;
  /** How long REPLIES keeps a frame, in milliseconds. */
  readonly maxAgeMs: number;
}

/** Speaks to the ingress replica behind a call, in as many messages as it takes. */
export class Replies {
  readonly #bus: Bus;
  readonly #maxAnswerBytes: number;
  readonly #shares: ReplyShares;

  constructor(bus: Bus, { maxAnswerBytes, mostBytes, maxAgeMs }: RepliesOptions) {
    this.#bus = bus;
    this.#maxAnswerBytes = maxAnswerBytes;
    const purge = (tenant: string, before: number) => void purgeFrames(bus, tenant, before).catch(() => {});
    this.#shares = new ReplyShares({ mostBytes, maxAgeMs, now: Date.now, purge });
  }

  fault(call: ActiveCall, { kind, message, details, row }: Fault): void {
    const head: ReplyHead = { egress: this.#bus.instance, kind: "answer", status: row.status, headers: {} };
    this.#tell(call, { ...head, fault: { kind, message, details } }, noBody);
  }

  /** Begins an answer's stream. The id of a session that begins with it is told apart: the stream is stored. */
  stream(call: ActiveCall, answer: Pick<StreamHeadOptions, "status" | "headers" | "a2a">): StreamWriter {
    const bus = this.#bus;
    const session = answer.headers[sessionHeader];
    call.streaming = call.announced = call.answered = true;
    call.record.writtenIn(answer.a2a ?? {});
    if (session !== undefined && call.head.session === undefined)
      this.#tell(call, { egress: bus.instance, kind: "session", session, status: 0, headers: {} }, noBody);
    return new StreamWriter({
      bus,
      stream: call.head.stream,
      head: streamHead({ egress: bus.instance, call, ...answer }),
      onStored: (stored) => this.#shares.stored(stored),
    });
  }

  /** Says where what was asked for is already on its way, with the task as it is where that is known here. */
  async follow(
    call: ActiveCall,
    { snapshot = noBody, ...head }: Pick<ReplyHead, "dialect" | "follow"> & { readonly snapshot?: Buffer },
  ): Promise<void> {
    const told: ReplyHead = { egress: this.#bus.instance, kind: "follow", status: 200, headers: {}, ...head };
    const isLarge = snapshot.length > chunkBytes;
    call.announced = call.answered = true;
    this.#tell(call, isLarge ? { ...told, chunked: true } : told, isLarge ? noBody : snapshot);
    if (isLarge) await sendBody(this.#bus, [snapshot], { to: call.replyTo, idleTimeoutMs: bodyIdleTimeoutMs });
  }

  /** Sends a whole answer. */
  async whole(
    call: ActiveCall,
    { status, headers, body }: { status: number; headers: Record<string, string>; body: Buffer },
    told: Told = {},
  ): Promise<Ending> {
    call.record.writtenIn({ ...told, status });
    call.record.whole(body);
    if (body.length > chunkBytes)
      return await this.large(call, { status, headers, ...told }, { start: body, rest: [], stop: () => {} });
    call.bytes = body.length;
    this.#tell(call, { egress: this.#bus.instance, kind: "answer", status, headers, ...told }, body);
    return { status };
  }

  /** Sends an answer that does not fit one message in chunks, no faster than the client reads. */
  async large(
    call: ActiveCall,
    { status, ...answer }: { status: number; headers: Record<string, string> } & Told,
    { start, rest, stop }: LargeBody,
  ): Promise<Ending> {
    const most = this.#maxAnswerBytes;
    this.#tell(call, { egress: this.#bus.instance, kind: "answer", status, ...answer, chunked: true }, noBody);
    async function* body(): AsyncGenerator<Buffer> {
      call.bytes += start.length;
      call.record.part(start);
      yield start;
      for await (const chunk of rest) {
        call.lastActivity = Date.now();
        call.bytes += chunk.length;
        call.record.part(chunk);
        if (call.bytes > most) throw tooLarge();
        yield chunk;
      }
    }
    const sending = new AbortController();
    call.attach(sending);
    try {
      const { signal } = sending;
      await sendBody(this.#bus, body(), { to: call.replyTo, idleTimeoutMs: bodyIdleTimeoutMs, signal });
      return { status };
    } catch (error) {
      const fault = call.ended ?? toFault(error);
      stop(fault);
      return { status, fault: fault.kind };
    }
  }

  /** The whole body of a call. */
  async bodyOf(call: ActiveCall, inline: Buffer): Promise<Buffer> {
    if (call.head.chunked === undefined) return inline;
    const parts: Buffer[] = [];
    for await (const part of this.receiveBody(call)) parts.push(part);
    return Buffer.concat(parts);
  }

  /** Asks for a body that did not fit one message. */
  receiveBody(call: ActiveCall): AsyncIterable<Buffer> {
    const body = openBody(this.#bus, { from: "ingress", idleTimeoutMs: bodyIdleTimeoutMs });
    this.#tell(call, { egress: this.#bus.instance, kind: "ready", to: body.to, status: 0, headers: {} }, noBody);
    return (async function* () {
      try {
        yield* body.chunks;
      } finally {
        body.close();
      }
    })();
  }

  #tell(call: ActiveCall, head: ReplyHead, body: Buffer): void {
    const bus = this.#bus;
    if (head.kind === "answer") call.announced = call.answered = true;
    const message = encodeHeadAndBody(head, body);
    if (bus.connected) bus.tell(call.replyTo, message);
    else
      void bus.whenConnected(awayMs).then(
        () => bus.tell(call.replyTo, message),
        () => {},
      );
  }
}

export function tooLarge(): Fault {
  return new Fault("upstream_failed", "the upstream's answer is too large");
}
