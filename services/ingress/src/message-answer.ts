import { EventEmitter } from "node:events";
import { asBuffer, Fault } from "@sluice/contracts";
import type { Answer } from "./answer.ts";
import type { AgentBudget, Hold } from "./budget.ts";
import { EventCutter } from "./event-cutter.ts";

/** What a message may have that is put together from its parts here. */
const longestMessageBytes = 32 * 1024 * 1024;

export interface MessageAnswerOptions {
  readonly budget: AgentBudget;
  /** Takes each message of the answer, in order. */
  readonly onMessage: (message: Buffer, answer: MessageAnswer) => void;
  /** Bytes that wait in what the messages go into. */
  readonly unsentBytes: () => number;
}

/** An answer whose messages go into something larger: a batch's answer, or the event stream of an HTTP+SSE client. */
export class MessageAnswer extends EventEmitter implements Answer {
  readonly socket = null;
  readonly resumable = false;
  statusCode = 200;
  headersSent = false;
  destroyed = false;
  headers: Readonly<Record<string, string | number>> = {};
  /** Why messages are missing, where they could not be taken. */
  fault: Fault | undefined;
  readonly #options: MessageAnswerOptions;
  #events: EventCutter | undefined;
  #parts: Buffer[] = [];
  #size = 0;
  readonly #hold: Hold;

  constructor(options: MessageAnswerOptions) {
    super();
    this.#options = options;
    this.#hold = options.budget.open();
  }

  get writableLength(): number {
    return this.#options.unsentBytes();
  }

  /** The id of the last event, by which the stream can be taken up again. */
  get lastEventId(): string | undefined {
    return this.#events?.lastId;
  }

  writeHead(status: number, headers: Record<string, string | number>): this {
    this.statusCode = status;
    this.headers = headers;
    this.headersSent = true;
    if (status === 200 && /^text\/event-stream\s*(;|$)/i.test(String(headers["content-type"] ?? "")))
      this.#events = new EventCutter();
    return this;
  }

  flushHeaders(): void {}

  write(bytes: string | Uint8Array): boolean {
    if (this.destroyed) return true;
    const chunk = typeof bytes === "string" ? Buffer.from(bytes) : asBuffer(bytes);
    if (this.#events === undefined) {
      this.#parts.push(chunk);
      this.#size += chunk.length;
      this.#book(this.#size);
    } else {
      for (const message of this.#events.push(chunk)) this.#options.onMessage(message, this);
      this.#book(this.#events.held);
    }
    return true;
  }

  end(bytes?: string | Uint8Array): this {
    if (bytes !== undefined) this.write(bytes);
    if (!this.destroyed && this.#size > 0) this.#options.onMessage(Buffer.concat(this.#parts, this.#size), this);
    this.#forget();
    return this;
  }

  destroy(): this {
    if (this.destroyed) return this;
    this.destroyed = true;
    this.#forget();
    this.emit("close");
    return this;
  }

  /** What is held here counts like the bodies of requests do. */
  #book(held: number): void {
    try {
      if (held > longestMessageBytes) throw new Fault("upstream_failed", "the answer is too large for this transport");
      this.#hold.resize(held);
    } catch (error) {
      this.fault = error as Fault;
      this.destroy();
    }
  }

  #forget(): void {
    this.#hold.release();
    this.#parts = [];
    this.#size = 0;
  }
}
