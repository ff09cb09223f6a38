import { randomBytes } from "node:crypto";
import { Agent, request } from "node:http";
import { toolCall } from "./http.ts";

/** One attempt as its client saw it. */
export interface LedgerLine {
  /** The trace id that the client chose: the audit trail has it too. */
  readonly trace: string;
  /** Of the answer; undefined where the connection broke before there was one. */
  readonly status: number | undefined;
  /** Neither an answer nor the end of the connection came within the client's patience. */
  readonly isHanging: boolean;
}

interface LoadOptions {
  /** The ingress replicas that take calls now. */
  readonly urls: () => readonly string[];
  readonly key: string;
  readonly concurrency: number;
}

const patienceMs = 30_000;
const restAfterBreakMs = 50;

/**
 * Calls a tool without pause and never one twice, each attempt with a trace id of its own, and keeps a ledger: what the audit trail
 * has to agree with.
 */
export class LedgerLoad {
  readonly ledger: LedgerLine[] = [];
  readonly #options: LoadOptions;
  readonly #agent = new Agent({ keepAlive: true });
  readonly #workers: Promise<void>[];
  #next = 0;
  #isStopped = false;

  constructor(options: LoadOptions) {
    this.#options = options;
    this.#workers = Array.from({ length: options.concurrency }, () => this.#work());
  }

  get answered(): number {
    return this.ledger.filter(({ status }) => status === 200).length;
  }

  /** Resolves when every attempt that was begun has ended. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    await Promise.all(this.#workers);
    this.#agent.destroy();
  }

  async #work(): Promise<void> {
    while (!this.#isStopped) {
      const urls = this.#options.urls();
      const url = urls[this.#next++ % Math.max(1, urls.length)];
      const line = url === undefined ? undefined : await this.#attempt(url);
      if (line !== undefined) this.ledger.push(line);
      if (line?.status !== 200) await new Promise((resolve) => setTimeout(resolve, restAfterBreakMs));
    }
  }

  #attempt(url: string): Promise<LedgerLine> {
    const trace = randomBytes(16).toString("hex");
    const body = toolCall("count", { trace }, trace);
    const { promise, resolve } = Promise.withResolvers<LedgerLine>();
    const outgoing = request(
      `${url}/mcp`,
      {
        method: "POST",
        agent: this.#agent,
        headers: {
          "content-type": "application/json",
          accept: "application/json, text/event-stream",
          "content-length": String(Buffer.byteLength(body)),
          "x-agent-api-key": this.#options.key,
          traceparent: `00-${trace}-${randomBytes(8).toString("hex")}-00`,
        },
      },
      (answer) => {
        const status = answer.statusCode;
        answer.resume();
        answer.once("end", () => end({ trace, status, isHanging: false }));
        answer.once("error", () => end({ trace, status: undefined, isHanging: false }));
      },
    );
    const timer = setTimeout(() => {
      end({ trace, status: undefined, isHanging: true });
      outgoing.destroy();
    }, patienceMs);
    const end = (line: LedgerLine) => {
      clearTimeout(timer);
      resolve(line);
    };
    outgoing.on("error", () => end({ trace, status: undefined, isHanging: false }));
    outgoing.end(body);
    return promise;
  }
}
