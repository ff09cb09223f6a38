/** The MCP server and A2A agent behind both: stateless, no latency of its own, refuses what is not signed. */
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { reportReady } from "./child.ts";
import { a2aAnswer, a2aEvent, a2aHeldPath, a2aStreamEvents } from "./a2a-messages.ts";
import { federatedAnswer, protocolVersion, streamEvent, streamEvents, unaryAnswer } from "./workloads.ts";

interface Call {
  readonly rawId: string;
  readonly method: string;
  readonly tool: string;
}

const quickLook = /"id":(\d+),"method":"([^"]+)"(?:,"params":\{"name":"([^"]+)")?/;

/** Reads only the beginning where the bytes came as the load generator wrote them. */
function readCall(body: Buffer): Call {
  const found = quickLook.exec(body.toString("latin1", 0, 160));
  if (found) return { rawId: found[1] ?? "", method: found[2] ?? "", tool: found[3] ?? "" };
  const message = JSON.parse(body.toString()) as { id?: unknown; method?: string; params?: { name?: string } };
  return { rawId: JSON.stringify(message.id) ?? "", method: message.method ?? "", tool: message.params?.name ?? "" };
}

function reply(res: ServerResponse, status: number, body: string): void {
  res.writeHead(status, { "content-type": "application/json", "content-length": Buffer.byteLength(body) });
  res.end(body);
}

interface Events {
  readonly count: number;
  readonly event: (number: number, rawId: string) => string;
}

const progress: Events = { count: streamEvents, event: streamEvent };
const updates: Events = { count: a2aStreamEvents, event: a2aEvent };

function stream(res: ServerResponse, rawId: string, { count, event }: Events): void {
  res.writeHead(200, { "content-type": "text/event-stream", "cache-control": "no-cache" });
  let number = 0;
  const next = (): void => {
    if (res.destroyed) return;
    number += 1;
    if (number === count) return void res.end(event(number, rawId));
    res.write(event(number, rawId));
    setImmediate(next);
  };
  next();
}

/** A task that is begun and has nothing more to say. */
function hold(res: ServerResponse, rawId: string): void {
  res.writeHead(200, { "content-type": "text/event-stream", "cache-control": "no-cache" });
  res.write(a2aEvent(1, rawId));
}

function other(res: ServerResponse, call: Call): void {
  if (!call.rawId) return void res.writeHead(202).end();
  const about = { serverInfo: { name: "bench-upstream", version: "1.0.0" }, capabilities: { tools: {} } };
  const results: Record<string, object> = {
    "server/discover": { resultType: "complete", supportedVersions: [protocolVersion], ...about },
    initialize: { protocolVersion: "2025-11-25", ...about },
  };
  const result = results[call.method];
  const outcome = result
    ? { result }
    : { error: { code: -32601, message: `no method or tool ${call.method} ${call.tool}` } };
  reply(res, result ? 200 : 404, `{"jsonrpc":"2.0","id":${call.rawId},${JSON.stringify(outcome).slice(1)}`);
}

function handle(req: IncomingMessage, res: ServerResponse, body: Buffer): void {
  if (!req.headers["x-signature"]) return reply(res, 401, '{"error":"this upstream takes signed requests only"}');
  const call = readCall(body);
  if (call.tool === "stream-20") return stream(res, call.rawId, progress);
  if (req.url === a2aHeldPath) return hold(res, call.rawId);
  if (call.method === "SendMessage") return reply(res, 200, a2aAnswer(call.rawId));
  if (call.method === "SendStreamingMessage") return stream(res, call.rawId, updates);
  const merged = call.method === "tools/list" ? federatedAnswer(req.url ?? "") : undefined;
  const known = merged ?? unaryAnswer(call.method, call.tool);
  if (known) return reply(res, 200, known.before + call.rawId + known.after);
  other(res, call);
}

let requests = 0;

const server = createServer((req, res) => {
  requests += 1;
  if (req.method !== "POST") return void res.writeHead(405, { allow: "POST" }).end();
  const chunks: Buffer[] = [];
  req.on("data", (chunk: Buffer) => chunks.push(chunk));
  req.on("end", () => handle(req, res, chunks.length === 1 ? (chunks[0] as Buffer) : Buffer.concat(chunks)));
});
server.keepAliveTimeout = 120_000;
process.on("message", () => process.send?.({ requests }));
server.listen(0, "127.0.0.1", () => reportReady(server));
