import type { ServerResponse } from "node:http";
import { asBuffer } from "@sluice/contracts";
import type { AgentBudget } from "./budget.ts";
import { MessageAnswer } from "./message-answer.ts";

/** More than this unread, and the reader is taken for gone: single answers cannot be held back. */
const unreadBytes = 32 * 1024 * 1024;
const comment = ": \n\n";

export interface MessageStreamOptions {
  readonly response: ServerResponse;
  readonly budget: AgentBudget;
  readonly keepAliveMs: number;
}

/** One event stream to a client that the messages of several answers are written into. They end with it. */
export class MessageStream {
  events = 0;
  bytes = 0;
  readonly #options: MessageStreamOptions;
  readonly #answers = new Set<MessageAnswer>();
  #timer: NodeJS.Timeout | undefined;

  constructor(options: MessageStreamOptions) {
    this.#options = options;
    const { response } = options;
    response.on("drain", () => {
      for (const answer of this.#answers) answer.emit("drain");
    });
    response.once("close", () => {
      clearInterval(this.#timer);
      for (const answer of [...this.#answers]) answer.destroy();
    });
  }

  get isOpen(): boolean {
    return this.#timer !== undefined;
  }

  get over(): boolean {
    return this.#options.response.destroyed || this.#options.response.writableEnded;
  }

  /** Where one call's answer is to be written, so that `onMessage` gets its messages. */
  answer(onMessage: (message: Buffer, answer: MessageAnswer) => void): MessageAnswer {
    const { response, budget } = this.#options;
    const answer = new MessageAnswer({ budget, onMessage, unsentBytes: () => response.writableLength });
    this.#answers.add(answer);
    if (this.over) answer.destroy();
    return answer;
  }

  release(answer: MessageAnswer): void {
    this.#answers.delete(answer);
  }

  open(): void {
    const { response, keepAliveMs } = this.#options;
    response.writeHead(200, {
      "content-type": "text/event-stream",
      "cache-control": "no-cache, no-transform",
      "x-accel-buffering": "no",
    });
    response.flushHeaders();
    this.#timer = setInterval(() => {
      if (!this.over && response.writableLength === 0) response.write(comment);
    }, keepAliveMs);
  }

  send(message: Buffer | string, event = "message"): void {
    const { response } = this.#options;
    if (this.over) return;
    if (response.writableLength > unreadBytes) {
      response.destroy();
      return;
    }
    const bytes = Buffer.concat([Buffer.from(`event: ${event}\n`), dataLines(message), Buffer.from("\n")]);
    this.events++;
    this.bytes += bytes.length;
    response.write(bytes);
  }

  end(): void {
    clearInterval(this.#timer);
    if (!this.over) this.#options.response.end();
  }
}

/** JSON has line breaks only between its tokens; an event's data has one line per `data`. */
function dataLines(message: Buffer | string): Buffer {
  const bytes = typeof message === "string" ? Buffer.from(message) : asBuffer(message);
  if (!bytes.includes(0x0a) && !bytes.includes(0x0d)) return Buffer.concat([Buffer.from("data: "), bytes, lineEnd]);
  const lines = bytes.toString("utf8").split(/\r\n|\r|\n/);
  return Buffer.from(lines.map((line) => `data: ${line}\n`).join(""));
}

const lineEnd = Buffer.from("\n");
