import { Agent, request, type ClientRequest, type IncomingHttpHeaders, type IncomingMessage } from "node:http";
import { until } from "@sluice/testing";

export interface Sent {
  readonly url: string;
  /** Absent where the headers say who calls. */
  readonly key?: string | undefined;
  readonly method?: "POST" | "GET" | "DELETE";
  readonly headers?: Readonly<Record<string, string>>;
  /** A Buffer goes as it is, anything else as JSON. */
  readonly body?: unknown;
  readonly agent?: Agent;
}

/** A whole answer as it came, header order and spelling included. */
export interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly rawHeaders: readonly string[];
  readonly body: Buffer;
}

/** Sends one request and reads its answer whole. */
export async function send(sent: Sent): Promise<Answer> {
  const response = await answerOf(open(sent));
  const chunks: Buffer[] = [];
  for await (const chunk of response as AsyncIterable<Buffer>) chunks.push(chunk);
  const { statusCode, headers, rawHeaders } = response;
  return { status: statusCode ?? 0, headers, rawHeaders, body: Buffer.concat(chunks) };
}

/** Everything of an answer that a caller can tell it by: two answers with equal texts can't be told apart. */
export function fingerprint({ status, rawHeaders, body }: Answer): string {
  const lines = [];
  for (let at = 0; at < rawHeaders.length; at += 2) {
    if (rawHeaders[at]?.toLowerCase() !== "date") lines.push(`${rawHeaders[at]}: ${rawHeaders[at + 1]}`);
  }
  return [String(status), ...lines, "", body.toString("latin1")].join("\n");
}

export interface WireEvent {
  readonly id: string | undefined;
  readonly data: string;
}

/** An event stream as its client reads it, event by event. */
export class EventReader {
  readonly events: WireEvent[] = [];
  comments = 0;
  /** How it ended: `end` in order, `broken` where the connection broke off. */
  ended: "end" | "broken" | undefined;
  readonly response: IncomingMessage;
  #parts: string[] = [];
  #last = "";

  constructor(response: IncomingMessage) {
    this.response = response;
    response.setEncoding("utf8");
    response.on("data", (chunk: string) => this.#take(chunk));
    response.on("end", () => (this.ended = "end"));
    response.on("close", () => (this.ended ??= "broken"));
    response.on("error", () => {});
  }

  /** The JSON-RPC messages so far. */
  get messages(): RpcMessage[] {
    return this.events.filter(({ data }) => data !== "").map(({ data }) => JSON.parse(data) as RpcMessage);
  }

  count(wanted: number): Promise<unknown> {
    return until(`${wanted} events`, () => this.messages.length >= wanted);
  }

  finished(timeoutMs?: number): Promise<"end" | "broken"> {
    return until("the end of the stream", () => this.ended, timeoutMs);
  }

  leave(): void {
    this.response.destroy();
  }

  /** A large event comes in many chunks: they are joined once, at its end. */
  #take(chunk: string): void {
    this.#parts.push(chunk);
    const mayEnd = (this.#last + chunk).includes("\n\n");
    this.#last = chunk.at(-1) ?? this.#last;
    if (!mayEnd) return;
    const blocks = this.#parts.join("").split("\n\n");
    this.#parts = [blocks.pop() ?? ""];
    for (const block of blocks) this.#event(block.split("\n"));
  }

  #event(lines: string[]): void {
    const fields = lines.filter((line) => !line.startsWith(":"));
    this.comments += lines.length - fields.length;
    if (fields.length === 0) return;
    const values = (name: string) =>
      fields.filter((line) => line.startsWith(`${name}:`)).map((line) => line.slice(name.length + 1).trimStart());
    this.events.push({ id: values("id")[0], data: values("data").join("\n") });
  }
}

export interface RpcMessage {
  readonly id?: unknown;
  readonly method?: string;
  readonly params?: Readonly<Record<string, unknown>>;
  readonly result?: Readonly<Record<string, unknown>>;
  readonly error?: { readonly code: number; readonly message: string; readonly data?: unknown };
}

/** Sends a request that is answered by an event stream. */
export async function listen(sent: Sent): Promise<EventReader> {
  const response = await answerOf(open(sent));
  if (response.statusCode === 200) return new EventReader(response);
  const chunks: Buffer[] = [];
  for await (const chunk of response as AsyncIterable<Buffer>) chunks.push(chunk);
  throw new Error(`no event stream: ${response.statusCode} ${Buffer.concat(chunks).toString()}`);
}

/** Opens a request without waiting for its answer. */
export function open({ url, key, method = "POST", headers, body, agent }: Sent): ClientRequest {
  const bytes = Buffer.isBuffer(body) ? body : body === undefined ? undefined : Buffer.from(JSON.stringify(body));
  const opened = request(url, {
    method,
    headers: {
      accept: "application/json, text/event-stream",
      ...(bytes !== undefined && { "content-type": "application/json", "content-length": String(bytes.length) }),
      ...(key !== undefined && { "x-agent-api-key": key }),
      ...headers,
    },
    ...(agent !== undefined && { agent }),
  });
  opened.end(bytes);
  return opened;
}

export function answerOf(opened: ClientRequest): Promise<IncomingMessage> {
  const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>();
  opened.on("error", reject);
  opened.once("response", resolve);
  return promise;
}

/** A tool call as JSON-RPC writes it. */
export function call(id: number | string, name: string, args: Record<string, unknown> = {}) {
  return { jsonrpc: "2.0", id, method: "tools/call", params: { name, arguments: args } };
}

/** The same as the modern era writes it. */
export function modernCall(id: number | string, name: string) {
  const { params, ...rest } = call(id, name);
  const meta = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientCapabilities": {},
  };
  return { ...rest, params: { ...params, _meta: meta } };
}

export const legacyHeaders = { "mcp-protocol-version": "2025-06-18" };
export const modernHeaders = (name: string) => ({
  "mcp-protocol-version": "2026-07-28",
  "mcp-method": "tools/call",
  "mcp-name": name,
});

/** Messages as an event stream writes them. */
export function eventStreamOf(messages: readonly unknown[]): string {
  return messages.map((message) => `event: message\ndata: ${JSON.stringify(message)}\n\n`).join("");
}
