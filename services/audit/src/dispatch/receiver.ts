import { once } from "node:events";
import { createServer, type IncomingHttpHeaders, type Server } from "node:http";
import type { AddressInfo } from "node:net";

export interface Received {
  readonly method: string;
  readonly path: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

export interface Answer {
  readonly status: number;
  readonly headers?: Readonly<Record<string, string>>;
}

/** A customer's server: it keeps what it answers with 2xx, and answers as it is told. */
export class Receiver {
  readonly taken: Received[] = [];
  readonly refused: Received[] = [];
  answer: (received: Received) => Answer | Promise<Answer> = () => ({ status: 200 });
  #server: Server | undefined;
  #port = 0;

  get url(): string {
    return `http://127.0.0.1:${this.#port}/v1/agent-events`;
  }

  /** The records of all that was taken, in the order in which they came. */
  get records(): Record<string, unknown>[] {
    return this.taken.flatMap(({ body }) => JSON.parse(body) as Record<string, unknown>[]);
  }

  get ids(): string[] {
    return this.records.map(({ id }) => id as string);
  }

  /** On the port that it had before, where it had one. */
  async start(): Promise<this> {
    this.#server = createServer((request, response) => {
      void (async () => {
        const chunks: Buffer[] = [];
        for await (const chunk of request as AsyncIterable<Buffer>) chunks.push(chunk);
        const { method = "", url = "", headers: sent } = request;
        const received = { method, path: url, headers: sent, body: Buffer.concat(chunks).toString() };
        const { status, headers } = await this.answer(received);
        (status < 300 ? this.taken : this.refused).push(received);
        response.writeHead(status, headers).end();
      })().catch(() => response.destroy());
    }).listen(this.#port, "127.0.0.1");
    await once(this.#server, "listening");
    this.#port = (this.#server.address() as AddressInfo).port;
    return this;
  }

  async stop(): Promise<void> {
    const closed = new Promise((resolve) => this.#server?.close(resolve));
    this.#server?.closeAllConnections();
    await closed;
  }
}
