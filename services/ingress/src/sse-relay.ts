import { setTimeout as sleep } from "node:timers/promises";
import { storedFrame, type Bus } from "@sluice/bus";
import { decodeFrame, decodeJson, type Frame, type StreamEnd, type StreamHead } from "@sluice/contracts";
import type { Answer } from "./answer.ts";
import { drained, gatherWrites } from "./writing.ts";
import { afterEvent } from "./event-id.ts";

/** Above this, a reader is slow: nothing more is written live, the rest comes from JetStream as the reader takes it. */
const slowReaderBytes = 256 * 1024;
const refillBytes = 64 * 1024;
/** How long a frame that was heard of may take to be found in JetStream. */
const storeLagMs = 5_000;
const pollMs = 20;
/** After so much that was written, whoever sends the stream learns how far its reader is. */
const progressBytes = 1024 * 1024;
const boundary = Buffer.from("\n\n");
const comment = ": \n\n";

export interface SseRelayOptions {
  readonly bus: Bus;
  readonly response: Answer;
  readonly tenant: string;
  readonly stream: string;
  /** Names who reads, as `OwnWord` says; without it any number may read the stream. */
  readonly reader?: string;
  /** The event that the client has; 0 for a new stream. */
  readonly after: number;
  /** Begins with what JetStream has, instead of live. */
  readonly resumed?: boolean;
  /** A position in REPLIES that everything after `after` is behind. */
  readonly fromSequence?: number;
  readonly onHead?: (head: StreamHead) => void;
  /** The stream is over; called once, after its last byte was written. */
  readonly onEnd: (end: StreamEnd) => void;
  /** The rest cannot be had any more: what the client misses is gone. */
  readonly onLost: () => void;
  /** Somebody else reads the stream from now on. */
  readonly onReplaced?: () => void;
  /** The client took everything up to this piece, but for what waits to be sent; called now and then. */
  readonly onRead?: (upTo: number) => void;
}

/**
 * Writes one streamed reply to one client: live as frames come, from JetStream after a gap, a reconnect or a slow
 * spell. Frames are joined by number: each event is written exactly once and in order.
 */
export class SseRelay {
  readonly tenant: string;
  readonly stream: string;
  readonly reader: string | undefined;
  head: StreamHead | undefined;
  /** The outcome for the audit trail needs what reached the client. */
  bytes = 0;
  readonly #options: SseRelayOptions;
  #next: number;
  #sequence = 1;
  #live: boolean;
  #heard = 0;
  #closed = false;
  #replaying: Promise<void> | undefined;
  #atBoundary = true;
  #unreported = 0;

  constructor(options: SseRelayOptions) {
    this.#options = options;
    this.tenant = options.tenant;
    this.stream = options.stream;
    this.reader = options.reader;
    this.#next = options.after + 1;
    this.#sequence = options.fromSequence ?? 1;
    this.#live = options.resumed !== true;
  }

  /** Takes a frame that arrived on the stream's subject. */
  heard(message: Uint8Array): void {
    if (this.#closed) return;
    const frame = decodeFrame(message);
    if (frame.head) this.#takeHead(frame);
    else if (this.#live) this.#take(frame);
    else this.#heard = Math.max(this.#heard, frame.last);
  }

  /** Goes on from JetStream, from the event after the last one written; then live again. */
  async replay(): Promise<void> {
    if (this.#closed) return;
    this.#live = false;
    await (this.#replaying ??= this.#refill());
  }

  /** Forgets itself in the moment of its last look at `#live`, so that whoever asks later starts anew. */
  async #refill(): Promise<void> {
    let missingSince: number | undefined;
    try {
      while (!this.#closed && !this.#live) {
        await drained(this.#options.response, refillBytes);
        const stored = await this.#stored();
        if (stored !== undefined) {
          missingSince = undefined;
          this.#sequence = stored.nextSequence;
          if (stored.frame.head) this.#takeHead(stored.frame);
          else this.#take(stored.frame);
        } else if (this.#heard < this.#next) this.#live = true;
        else {
          missingSince ??= Date.now();
          if (Date.now() - missingSince > storeLagMs) return this.#lost();
          await sleep(pollMs);
        }
      }
    } finally {
      this.#replaying = undefined;
    }
  }

  /** Writes a comment, where one may stand. */
  keepAlive(): void {
    const { response } = this.#options;
    if (this.#closed || !this.#atBoundary || !response.headersSent || response.writableLength > 0) return;
    response.write(comment);
  }

  /** Ends the answer with an event of the gateway's own; breaks off where that would end up within another event. */
  endWith(event: string): void {
    const { response } = this.#options;
    if (this.#closed) return;
    this.#closed = true;
    if (this.#atBoundary && response.headersSent) response.end(event);
    else response.destroy();
  }

  /** Ends the connection at the border of an event; a client that can resume is not kept from a replica that stops. */
  hangUp(): void {
    const { response } = this.#options;
    const canComeBack = this.reader === undefined || this.head?.era === "legacy";
    if (!canComeBack || response.resumable === false) return;
    if (!this.#atBoundary || !response.headersSent) return;
    this.close();
    response.end();
  }

  /** Ends the connection, because somebody else reads the stream. */
  replace(): void {
    const { response, onReplaced } = this.#options;
    if (this.#closed) return;
    this.#closed = true;
    if (this.#atBoundary && response.headersSent && response.writableLength === 0) response.end();
    else response.destroy();
    onReplaced?.();
  }

  close(): void {
    this.#closed = true;
  }

  /** The number of the last piece that was written. */
  get written(): number {
    return this.#next - 1;
  }

  #takeHead(frame: Frame): void {
    if (this.head !== undefined) return;
    this.head = decodeJson<StreamHead>(frame.bytes);
    this.#options.onHead?.(this.head);
  }

  #take(frame: Frame): void {
    if (frame.last < this.#next && !frame.end) return;
    if (frame.first > this.#next) {
      this.#gap(frame);
      return;
    }
    const bytes = frame.first < this.#next ? afterEvent(frame.bytes, this.stream, this.#next - 1) : frame.bytes;
    this.#next = frame.last + 1;
    if (frame.end) {
      this.#closed = true;
      this.#options.onEnd(decodeJson<StreamEnd>(frame.bytes));
      return;
    }
    const { response } = this.#options;
    gatherWrites(response);
    response.write(bytes);
    this.bytes += bytes.length;
    this.#atBoundary = bytes.subarray(-2).equals(boundary);
    this.#unreported += bytes.length;
    if (this.#unreported >= progressBytes) {
      this.#unreported = 0;
      this.#options.onRead?.(frame.last);
    }
    if (this.#live && response.writableLength > slowReaderBytes) void this.replay();
  }

  /** Live, a gap is filled from JetStream; in JetStream itself a gap means that the frames were dropped for age or size. */
  #gap(frame: Frame): void {
    this.#heard = Math.max(this.#heard, frame.last);
    if (this.#live) void this.replay();
    else this.#lost();
  }

  #lost(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#options.onLost();
  }

  async #stored() {
    const { bus } = this.#options;
    for (;;) {
      try {
        return await storedFrame(bus, this, this.#sequence);
      } catch {
        if (this.#closed) return undefined;
        await sleep(pollMs * 10);
      }
    }
  }
}
