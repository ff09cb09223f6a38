import {
  createServer,
  type IncomingHttpHeaders,
  type IncomingMessage,
  type Server,
  type ServerResponse,
} from "node:http";
import { createServer as createTlsServer, type ServerOptions } from "node:https";
import type { AddressInfo } from "node:net";
import { Server as TlsServer, TLSSocket } from "node:tls";

/** A request as it reached the upstream, byte for byte. */
export interface ReceivedRequest {
  readonly method: string;
  readonly url: string;
  readonly headers: IncomingHttpHeaders;
  readonly rawHeaders: readonly string[];
  readonly body: Buffer;
  /** Serial number of the certificate that came with the connection, where there was one. */
  readonly certificate: string | undefined;
  /** The body as JSON, where it is. */
  readonly message: { id?: unknown; method?: string; params?: Record<string, unknown> } | undefined;
}

export type UpstreamHandler = (request: ReceivedRequest, response: ServerResponse) => void | Promise<void>;

const probeId = "sluice-probe";
const modernSelf = { resultType: "complete", supportedVersions: ["2026-07-28"], capabilities: { tools: {} } };

/** An upstream that a test scripts: it records what reaches it and answers as told. */
export class FakeUpstream implements AsyncDisposable {
  readonly requests: ReceivedRequest[] = [];
  handler: UpstreamHandler;
  /** Says so when the gateway asks for the era, which is then not recorded; the handler is asked otherwise. */
  speaksModern = true;
  readonly #server: Server;

  private constructor(server: Server, handler: UpstreamHandler) {
    this.#server = server;
    this.handler = handler;
  }

  static async start(handler: UpstreamHandler = answerEcho, tls?: ServerOptions): Promise<FakeUpstream> {
    const serve = (request: IncomingMessage, response: ServerResponse) => void upstream.#serve(request, response);
    const server = tls === undefined ? createServer(serve) : createTlsServer(tls, serve);
    const upstream = new FakeUpstream(server, handler);
    const listening = Promise.withResolvers<void>();
    server.listen(0, "127.0.0.1", listening.resolve);
    await listening.promise;
    return upstream;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  get url(): string {
    return `http${this.#server instanceof TlsServer ? "s" : ""}://127.0.0.1:${this.port}/mcp`;
  }

  /** Whoever comes again has to connect anew. */
  disconnectAll(): void {
    this.#server.closeAllConnections();
  }

  /** Every byte that ever arrived here, headers included, for canary searches. */
  get everything(): string {
    return this.requests
      .map(({ rawHeaders, url, body }) => `${url}\n${rawHeaders.join("\n")}\n${body.toString("latin1")}`)
      .join("\n");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const chunks: Buffer[] = [];
    try {
      for await (const chunk of request as AsyncIterable<Buffer>) chunks.push(chunk);
    } catch {
      return;
    }
    const body = Buffer.concat(chunks);
    const received: ReceivedRequest = {
      method: request.method ?? "",
      url: request.url ?? "",
      headers: request.headers,
      rawHeaders: request.rawHeaders,
      body,
      certificate: request.socket instanceof TLSSocket ? request.socket.getPeerCertificate().serialNumber : undefined,
      message: parse(body),
    };
    if (this.speaksModern && received.message?.id === probeId) {
      answerJson(response, { jsonrpc: "2.0", id: probeId, result: modernSelf });
      return;
    }
    this.requests.push(received);
    await this.handler(received, response);
  }
}

/** Answers a request with its own arguments as a tool result; accepts notifications. */
export function answerEcho({ message }: ReceivedRequest, response: ServerResponse): void {
  if (message?.id === undefined) {
    response.writeHead(202).end();
    return;
  }
  answerJson(response, {
    jsonrpc: "2.0",
    id: message.id,
    result: { content: [{ type: "text", text: JSON.stringify(message.params?.["arguments"] ?? {}) }] },
  });
}

export function answerJson(response: ServerResponse, body: unknown, headers: Record<string, string> = {}): void {
  response.writeHead(200, { "content-type": "application/json", ...headers }).end(JSON.stringify(body));
}

function parse(body: Buffer): ReceivedRequest["message"] {
  try {
    return JSON.parse(body.toString("utf8")) as ReceivedRequest["message"];
  } catch {
    return undefined;
  }
}
