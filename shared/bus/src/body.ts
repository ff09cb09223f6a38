import { addresseeOf, asBuffer, chunkBytes, chunkWindow, Fault, type ServiceName } from "@sluice/contracts";
import type { Bus } from "./bus.ts";
import type { Incoming } from "./incoming.ts";

/** `[u8 flags][u32 number][bytes]`; the message's reply subject takes credits: `[u32 chunks consumed]`. */
const headBytes = 5;
const lastFlag = 1;
const abortFlag = 2;

export interface SendOptions {
  readonly to: string;
  /** How long the receiver may take to consume a chunk. */
  readonly idleTimeoutMs: number;
  /** Ends the wait for the receiver; its reason is a Fault. */
  readonly signal?: AbortSignal;
}

/**
 * Sends a body that does not fit one message, at most `chunkWindow` chunks ahead of the receiver.
 * @throws Fault `unavailable` where the receiver stopped reading; what `source` throws is passed on after telling the receiver.
 */
export async function sendBody(
  bus: Bus,
  source: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
  options: SendOptions,
) {
  const credits = new Credits(bus, options);
  let sent = 0;
  const send = (flags: number, bytes: Uint8Array) => {
    bus.tell(options.to, encodeChunk(flags, sent++, bytes), { reply: credits.subject });
  };
  try {
    for await (const part of source) {
      for (let at = 0; at < part.length; at += chunkBytes) {
        await credits.room(sent);
        send(0, part.subarray(at, at + chunkBytes));
      }
    }
    send(lastFlag, new Uint8Array());
  } catch (error) {
    if (bus.connected) send(abortFlag, new Uint8Array());
    throw error;
  } finally {
    credits.close();
  }
}

class Credits {
  readonly subject: string;
  readonly #waiting;
  readonly #idleTimeoutMs: number;
  #consumed = 0;
  #fault: Fault | undefined;
  #wake: (() => void) | undefined;

  constructor(bus: Bus, { to, idleTimeoutMs, signal }: SendOptions) {
    const from = addresseeOf(to);
    this.#idleTimeoutMs = idleTimeoutMs;
    signal?.addEventListener("abort", () => this.#fail(signal.reason as Fault), { once: true });
    this.#waiting = bus.inbox.open({
      ...(from !== undefined && { from }),
      timeoutMs: idleTimeoutMs,
      onMessage: (message) => {
        this.#consumed = Math.max(this.#consumed, asBuffer(message.data).readUInt32BE(0));
        this.#waiting.extend(this.#idleTimeoutMs);
        this.#wake?.();
      },
      onFailure: (fault) => this.#fail(fault),
    });
    this.subject = this.#waiting.subject;
  }

  #fail(fault: Fault): void {
    this.#fault ??= fault;
    this.#wake?.();
  }

  async room(sent: number): Promise<void> {
    while (sent - this.#consumed >= chunkWindow && this.#fault === undefined) {
      await new Promise<void>((resolve) => (this.#wake = resolve));
    }
    if (this.#fault !== undefined) throw this.#fault;
    this.#waiting.extend(this.#idleTimeoutMs);
  }

  close(): void {
    this.#waiting.close();
  }
}

/** The receiving end: feed it the messages of one inbox, read it as an async iterable. A gap or an abort throws. */
export class BodyReceiver implements AsyncIterable<Buffer> {
  readonly #bus: Bus;
  readonly #queue: Incoming[] = [];
  #failure: Fault | undefined;
  #wake: (() => void) | undefined;
  #expected = 0;

  constructor(bus: Bus) {
    this.#bus = bus;
  }

  push(message: Incoming): void {
    this.#queue.push(message);
    this.#wake?.();
  }

  fail(fault: Fault): void {
    this.#failure ??= fault;
    this.#wake?.();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Buffer> {
    for (;;) {
      const message = this.#queue.shift();
      if (message === undefined) {
        if (this.#failure !== undefined) throw this.#failure;
        await new Promise<void>((resolve) => (this.#wake = resolve));
        continue;
      }
      const chunk = asBuffer(message.data);
      const flags = chunk[0] ?? 0;
      if (chunk.readUInt32BE(1) !== this.#expected++)
        throw new Fault("unavailable", "a part of the body was lost on the bus");
      if (flags & abortFlag) throw new Fault("unavailable", "the body ended early");
      if (flags & lastFlag) return;
      yield chunk.subarray(headBytes);
      this.#credit(message.reply);
    }
  }

  #credit(subject: string | undefined): void {
    if (subject === undefined || !this.#bus.connected) return;
    const count = Buffer.allocUnsafe(4);
    count.writeUInt32BE(this.#expected);
    this.#bus.tell(subject, count);
  }
}

/** A body on its way here. */
export interface ArrivingBody {
  /** Where its sender sends it. */
  readonly to: string;
  /** Throws where a part is missing, the sender gives up, or nothing comes for too long. */
  readonly chunks: AsyncIterable<Buffer>;
  close(): void;
}

/** Opens an inbox for a body that does not fit one message. */
export function openBody(
  bus: Bus,
  { from, idleTimeoutMs }: { from: ServiceName; idleTimeoutMs: number },
): ArrivingBody {
  const chunks = new BodyReceiver(bus);
  const inbox = bus.inbox.open({
    from,
    timeoutMs: idleTimeoutMs,
    onMessage: (message) => {
      inbox.extend(idleTimeoutMs);
      chunks.push(message);
    },
    onFailure: (fault) => chunks.fail(fault),
  });
  return { to: inbox.subject, chunks, close: () => inbox.close() };
}

function encodeChunk(flags: number, number: number, bytes: Uint8Array): Uint8Array {
  const out = Buffer.allocUnsafe(headBytes + bytes.length);
  out[0] = flags;
  out.writeUInt32BE(number, 1);
  out.set(bytes, headBytes);
  return out;
}
