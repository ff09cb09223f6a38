import { BodyReceiver, sendBody, type Bus } from "@sluice/bus";
import { chunkBytes, encodeHeadAndBody, Fault, toFault, type ReplyHead } from "@sluice/contracts";
import type { ActiveCall, Ending } from "./active-call.ts";

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

/** Speaks to the ingress replica behind a call, in as many messages as it takes. */
export class Replies {
  readonly #bus: Bus;
  readonly #maxAnswerBytes: number;

  constructor(bus: Bus, maxAnswerBytes: number) {
    this.#bus = bus;
    this.#maxAnswerBytes = maxAnswerBytes;
  }

  fault(call: ActiveCall, { kind, message, details, row }: Fault): void {
    const head: ReplyHead = { egress: this.#bus.instance, kind: "answer", status: row.status, headers: {} };
    this.#tell(call, { ...head, fault: { kind, message, details } }, noBody);
  }

  /** Sends a whole answer. */
  async whole(
    call: ActiveCall,
    { status, headers, body }: { status: number; headers: Record<string, string>; body: Buffer },
  ): Promise<Ending> {
    if (body.length > chunkBytes)
      return await this.large(call, { status, headers }, { start: body, rest: [], stop: () => {} });
    call.bytes = body.length;
    this.#tell(call, { egress: this.#bus.instance, kind: "answer", status, headers }, body);
    return { status };
  }

  /** Sends an answer that does not fit one message in chunks, no faster than the client reads. */
  async large(
    call: ActiveCall,
    { status, headers }: { status: number; headers: Record<string, string> },
    { start, rest, stop }: LargeBody,
  ): Promise<Ending> {
    const most = this.#maxAnswerBytes;
    this.#tell(call, { egress: this.#bus.instance, kind: "answer", status, headers, chunked: true }, noBody);
    async function* body(): AsyncGenerator<Buffer> {
      call.bytes += start.length;
      yield start;
      for await (const chunk of rest) {
        call.lastActivity = Date.now();
        call.bytes += chunk.length;
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
    const { inbox: inboxes, instance } = this.#bus;
    const receiver = new BodyReceiver(this.#bus);
    const inbox = inboxes.open({
      from: "ingress",
      timeoutMs: bodyIdleTimeoutMs,
      onMessage: (message) => {
        inbox.extend(bodyIdleTimeoutMs);
        receiver.push(message);
      },
      onFailure: (fault) => receiver.fail(fault),
    });
    this.#tell(call, { egress: instance, kind: "ready", to: inbox.subject, status: 0, headers: {} }, noBody);
    return (async function* () {
      try {
        yield* receiver;
      } finally {
        inbox.close();
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
