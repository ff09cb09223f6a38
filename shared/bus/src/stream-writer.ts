import { encodeFrame, encodeJson, Fault, subjects, type Frame, type StreamHead } from "@sluice/contracts";
import type { Bus } from "./bus.ts";
import { natsItself } from "./inbox.ts";
import type { Incoming } from "./incoming.ts";
import { isStored, sequenceOf } from "./durable.ts";

/** Every so many frames or bytes JetStream is asked to confirm (measurement 4). */
const confirmEveryFrames = 32;
const confirmEveryBytes = 1024 * 1024;
/** How far the writer may run ahead of the last confirmation. */
const aheadFrames = 4 * confirmEveryFrames;
const aheadBytes = 4 * confirmEveryBytes;
const confirmTimeoutMs = 2_000;
/** How long a stream waits for the bus or for JetStream to come back before it is given up. */
const patienceMs = 90_000;
/** Between two tries to store what was refused. */
const retryMs = 250;

/** What a stored message takes beside its bytes: the subject and JetStream's own. */
const overheadBytes = 96;

export interface StreamWriterOptions {
  readonly bus: Bus;
  readonly stream: string;
  readonly head: StreamHead;
  /** JetStream has stored more of the stream, up to this position of its own. */
  readonly onStored?: (stored: { tenant: string; sequence: number; bytes: number }) => void;
}

interface Kept {
  readonly last: number;
  readonly bytes: Buffer;
}

/**
 * Writes the frames of one streamed reply: a live reader gets them at once, JetStream keeps them for replay.
 * Unconfirmed frames are kept and sent again after a reconnect; readers drop doubles by number.
 */
export class StreamWriter {
  readonly #options: StreamWriterOptions;
  readonly #bus: Bus;
  readonly #subject: string;
  readonly #off: () => void;
  readonly #kept: Kept[] = [];
  #keptBytes = 0;
  #sinceConfirm = { frames: 0, bytes: 0 };
  #next = 1;
  #ended = false;
  readonly #wake: (() => void)[] = [];
  #waitingSince = 0;
  #broken: Fault | undefined;
  #retry: NodeJS.Timeout | undefined;
  /** The position of the last frame that was confirmed. */
  #stored = 1;

  constructor(options: StreamWriterOptions) {
    const { bus, stream, head } = options;
    this.#options = options;
    this.#bus = bus;
    this.#subject = subjects.stream(head.tenant, stream);
    this.#off = bus.onReconnect(() => this.#resend());
    this.#publish({ first: 0, last: 0, bytes: Buffer.from(encodeJson(head)), head: true, end: false });
  }

  /** The number that the next piece will get. */
  get next(): number {
    return this.#next;
  }

  /** A position in REPLIES that everything is behind that comes after the pieces written so far. */
  get fromSequence(): number {
    return this.#stored;
  }

  /** Sends pieces as one frame; resolves when the writer may go on. @throws Fault `unavailable` where nothing stores them any more. */
  async write(bytes: Buffer, pieces: number): Promise<void> {
    const first = this.#next;
    this.#next += pieces;
    this.#publish({ first, last: this.#next - 1, bytes, head: false, end: false });
    while ((this.#kept.length > aheadFrames || this.#keptBytes > aheadBytes) && this.#broken === undefined) {
      await new Promise<void>((resolve) => this.#wake.push(resolve));
    }
    if (this.#broken !== undefined) throw this.#broken;
  }

  /** Sends the end, with what is to be said of it, and resolves when everything is stored, or was given up. */
  async end(bytes: Buffer): Promise<void> {
    if (this.#ended) return;
    this.#ended = true;
    const number = this.#next++;
    this.#publish({ first: number, last: number, bytes, head: false, end: true });
    while (this.#kept.length > 0 && this.#broken === undefined) {
      await new Promise<void>((resolve) => this.#wake.push(resolve));
    }
    this.#off();
  }

  #publish(frame: Frame): void {
    const bytes = encodeFrame(frame);
    this.#kept.push({ last: frame.last, bytes });
    this.#keptBytes += bytes.length;
    this.#sinceConfirm.frames++;
    this.#sinceConfirm.bytes += bytes.length;
    const due =
      frame.end || this.#sinceConfirm.frames >= confirmEveryFrames || this.#sinceConfirm.bytes >= confirmEveryBytes;
    this.#send(bytes, due ? frame.last : undefined);
  }

  #send(bytes: Buffer, confirmUpTo: number | undefined): void {
    if (!this.#bus.connected) return;
    if (confirmUpTo === undefined) {
      this.#bus.tell(this.#subject, bytes);
      return;
    }
    this.#sinceConfirm = { frames: 0, bytes: 0 };
    const waiting = this.#bus.inbox.open({
      from: natsItself,
      timeoutMs: confirmTimeoutMs,
      onMessage: (message) => {
        waiting.close();
        this.#confirmed(confirmUpTo, message);
      },
      onFailure: () => this.#unconfirmed(),
    });
    this.#bus.tell(this.#subject, bytes, { reply: waiting.subject });
  }

  #confirmed(upTo: number, answer: Incoming): void {
    if (!isStored(answer)) {
      this.#unconfirmed();
      return;
    }
    this.#waitingSince = 0;
    this.#stored = Math.max(this.#stored, sequenceOf(answer));
    const from = this.#kept.findIndex((kept) => kept.last > upTo);
    const dropped = this.#kept.splice(0, from === -1 ? this.#kept.length : from);
    let bytes = 0;
    for (const kept of dropped) bytes += kept.bytes.length;
    this.#keptBytes -= bytes;
    const { tenant } = this.#options.head;
    bytes += dropped.length * overheadBytes;
    if (bytes > 0) this.#options.onStored?.({ tenant, sequence: sequenceOf(answer), bytes });
    this.#wakeAll();
  }

  #unconfirmed(): void {
    const now = Date.now();
    this.#waitingSince ||= now;
    if (now - this.#waitingSince < patienceMs) {
      this.#retry ??= setTimeout(() => this.#resend(), retryMs);
      return;
    }
    this.#broken = new Fault("unavailable", "the answer could not be stored");
    this.#off();
    this.#wakeAll();
  }

  #resend(): void {
    clearTimeout(this.#retry);
    this.#retry = undefined;
    if (!this.#bus.connected) {
      setTimeout(() => this.#unconfirmedWhileAway(), confirmTimeoutMs).unref();
      return;
    }
    for (const [index, kept] of this.#kept.entries()) {
      this.#send(kept.bytes, index === this.#kept.length - 1 ? kept.last : undefined);
    }
  }

  #unconfirmedWhileAway(): void {
    if (!this.#bus.connected && this.#kept.length > 0 && this.#broken === undefined) this.#unconfirmed();
  }

  #wakeAll(): void {
    for (const wake of this.#wake.splice(0)) wake();
  }
}
