import { answerJson, FakeUpstream, type ReceivedRequest } from "@sluice/testing";
import type { ServerResponse } from "node:http";
import { randomUUID } from "node:crypto";
import { eventStreamOf } from "./wire.ts";

type Answer = (request: ReceivedRequest, response: ServerResponse, reply: (result: unknown) => void) => void;

const results: Readonly<Record<string, unknown>> = {
  "tools/list": { tools: [{ name: "echo", inputSchema: { type: "object" } }] },
  "tools/call": { content: [{ type: "text", text: "done" }] },
  "resources/list": { resources: [] },
};

/** A server of the legacy era alone that keeps sessions, which a test can look at and forget. */
export class LegacyServer implements AsyncDisposable {
  readonly sessions = new Set<string>();
  opened = 0;
  readonly streams = new Map<ServerResponse, string>();
  /** What was asked, by JSON-RPC method. */
  readonly asked = new Map<string, unknown[]>();
  /** Answers instead of the server, by JSON-RPC method. */
  readonly on: Record<string, Answer> = {};
  instructions = "";
  capabilities: Record<string, unknown> = { tools: {}, resources: { subscribe: true }, logging: {} };
  newSession = (): string => randomUUID();
  upstream!: FakeUpstream;

  static async start(): Promise<LegacyServer> {
    const server = new LegacyServer();
    server.upstream = await FakeUpstream.start((request, response) => server.#answer(request, response));
    server.upstream.speaksModern = false;
    return server;
  }

  get url(): string {
    return this.upstream.url;
  }

  count(method: string): number {
    return this.asked.get(method)?.length ?? 0;
  }

  /** Says something of its own accord on every open stream. */
  say(message: object): void {
    for (const stream of this.streams.keys()) stream.write(eventStreamOf([message]));
  }

  /** As after a restart: no session is known any more, no stream is open. */
  forget(): void {
    this.sessions.clear();
    for (const stream of this.streams.keys()) stream.end();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.upstream[Symbol.asyncDispose]();
  }

  #answer(request: ReceivedRequest, response: ServerResponse): void {
    const { method, headers, message } = request;
    const session = String(headers["mcp-session-id"] ?? "");
    const reply = (result: unknown) => answerJson(response, { jsonrpc: "2.0", id: message?.id, result });
    if (method === "DELETE") return void response.writeHead(this.sessions.delete(session) ? 200 : 404).end();
    if (message?.method === "server/discover") return void response.writeHead(400).end();
    const asked = message?.method ?? "";
    this.asked.set(asked, [...(this.asked.get(asked) ?? []), message?.params]);
    const instead = this.on[asked];
    if (instead !== undefined) return instead(request, response, reply);
    if (asked === "initialize") return this.initialize(request, response);
    if (!this.sessions.has(session)) return void response.writeHead(404).end();
    if (method === "GET") return this.#listen(session, response);
    if (message?.id === undefined || message.method === undefined) return void response.writeHead(202).end();
    reply(results[asked] ?? {});
  }

  initialize({ message }: ReceivedRequest, response: ServerResponse): void {
    const id = this.newSession();
    this.opened++;
    this.sessions.add(id);
    const result = {
      protocolVersion: "2025-11-25",
      capabilities: this.capabilities,
      serverInfo: { name: "legacy", version: "1" },
      ...(this.instructions !== "" && { instructions: this.instructions }),
    };
    answerJson(response, { jsonrpc: "2.0", id: message?.id, result }, { "mcp-session-id": id });
  }

  #listen(session: string, response: ServerResponse): void {
    this.streams.set(response, session);
    response.once("close", () => this.streams.delete(response));
    response.writeHead(200, { "content-type": "text/event-stream" }).flushHeaders();
  }
}
