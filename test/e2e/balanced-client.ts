import { Agent, request, type IncomingMessage } from "node:http";
import { call } from "./wire.ts";

/** How one call ended for the client. */
export interface LedgerEntry {
  readonly id: string;
  readonly status: number;
  readonly text: string;
  readonly retryAfter: string | undefined;
}

export interface LoadOptions {
  readonly urls: () => readonly string[];
  readonly key: string;
  readonly concurrency: number;
  /** Added to half of the calls, such as a session. */
  readonly headers: Readonly<Record<string, string>>;
  /** In front of the number of each call's id. */
  readonly prefix: string;
}

/**
 * Calls without pause, spread over several ingress replicas as a load balancer does: where a connection is refused, or
 * breaks before any byte of an answer, the call goes to another one. It keeps a ledger of what it was answered.
 */
export class BalancedLoad {
  readonly ledger: LedgerEntry[] = [];
  /** Calls that got no answer at all, by id. */
  readonly unanswered: string[] = [];
  readonly #options: LoadOptions;
  readonly #agent = new Agent({ keepAlive: true });
  readonly #workers: Promise<void>[];
  #next = 0;
  #stopped = false;

  constructor(options: LoadOptions) {
    this.#options = options;
    this.#workers = Array.from({ length: options.concurrency }, () => this.#work());
  }

  get failures(): unknown[] {
    return [
      ...this.unanswered,
      ...this.ledger.filter(({ status, text }) => status !== 200 || !text.includes('"result"')),
    ];
  }

  /** Resolves when every call that was begun has ended. */
  async stop(): Promise<void> {
    this.#stopped = true;
    await Promise.all(this.#workers);
    this.#agent.destroy();
  }

  async #work(): Promise<void> {
    while (!this.#stopped) {
      const number = this.#next++;
      const id = `${this.#options.prefix}-${number}`;
      const answer = await this.#send(id, number);
      if (answer === undefined) this.unanswered.push(id);
      else this.ledger.push({ id, ...answer });
    }
  }

  async #send(id: string, number: number): Promise<Omit<LedgerEntry, "id"> | undefined> {
    const urls = this.#options.urls();
    for (let attempt = 0; attempt < 2 * urls.length; attempt++) {
      const url = urls[(number + attempt) % urls.length] ?? "";
      const response = await this.#attempt(url, { id, number }).catch(() => undefined);
      if (response === undefined) continue;
      return await readWhole(response).catch(() => undefined);
    }
    return undefined;
  }

  #attempt(url: string, { id, number }: { id: string; number: number }): Promise<IncomingMessage> {
    const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>();
    const body = JSON.stringify(call(id, "echo", { id }));
    const headers = {
      accept: "application/json, text/event-stream",
      "content-type": "application/json",
      "content-length": String(Buffer.byteLength(body)),
      "x-agent-api-key": this.#options.key,
      ...(number % 4 < 2 && this.#options.headers),
    };
    request(url, { method: "POST", headers, agent: this.#agent }, resolve).on("error", reject).end(body);
    return promise;
  }
}

async function readWhole(response: IncomingMessage): Promise<Omit<LedgerEntry, "id">> {
  const chunks: Buffer[] = [];
  for await (const chunk of response as AsyncIterable<Buffer>) chunks.push(chunk);
  return {
    status: response.statusCode ?? 0,
    text: Buffer.concat(chunks).toString("utf8"),
    retryAfter: response.headers["retry-after"],
  };
}
