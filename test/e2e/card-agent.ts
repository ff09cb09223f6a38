import { once } from "node:events";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

/** An agent that shows a card, and keeps what it was asked. */
export class CardAgent implements AsyncDisposable {
  /** What it answers at each path: a document, its text, or whatever else a handler does. */
  readonly documents = new Map<string, unknown>();
  readonly asked: { readonly path: string; readonly headers: IncomingMessage["headers"]; readonly status: number }[] =
    [];
  readonly #server: Server;

  private constructor(server: Server) {
    this.#server = server;
    server.on("request", (request: IncomingMessage, response: ServerResponse) => this.#answer(request, response));
  }

  static async start(): Promise<CardAgent> {
    const server = createServer();
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    return new CardAgent(server);
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  get cardUrl(): string {
    return `${this.url}/.well-known/agent-card.json`;
  }

  show(card: unknown, path = "/.well-known/agent-card.json"): void {
    this.documents.set(path, card);
  }

  #answer(request: IncomingMessage, response: ServerResponse): void {
    const path = request.url ?? "";
    const shown = this.documents.get(path);
    const note = (status: number) => this.asked.push({ path, headers: request.headers, status });
    if (typeof shown === "function") {
      note(0);
      return void (shown as (request: IncomingMessage, response: ServerResponse) => void)(request, response);
    }
    if (shown === undefined) {
      note(404);
      return void response.writeHead(404).end();
    }
    const text = typeof shown === "string" ? shown : JSON.stringify(shown);
    const etag = `"${text.length}-${Buffer.from(text).toString("base64url").slice(-24)}"`;
    const status = request.headers["if-none-match"] === etag ? 304 : 200;
    note(status);
    response.writeHead(status, { "content-type": "application/json", etag }).end(status === 200 ? text : undefined);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    this.#server.close();
    await once(this.#server, "close");
  }
}

/** A card of 1.0 of an agent at this address. */
export function modernCard(url: string, more: object = {}) {
  return {
    name: "Planner",
    description: "Plans",
    version: "1.0.0",
    supportedInterfaces: [
      { url: `${url}/rpc`, protocolBinding: "JSONRPC", protocolVersion: "1.0" },
      { url: `${url}/grpc`, protocolBinding: "GRPC", protocolVersion: "1.0" },
    ],
    capabilities: { streaming: true },
    defaultInputModes: ["text/plain"],
    defaultOutputModes: ["text/plain"],
    skills: [
      { id: "plan", name: "Plan", description: "Plans", tags: ["plan"] },
      { id: "secret", name: "Secret", description: "Hidden from most", tags: ["secret"] },
    ],
    documentationUrl: "https://docs.example.com",
    "x-unknown": { kept: true },
    ...more,
  };
}
