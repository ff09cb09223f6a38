import { once } from "node:events";
import { Agent, request, type IncomingHttpHeaders, type OutgoingHttpHeaders } from "node:http";
import { connect } from "node:net";

export interface Sending {
  readonly method?: string;
  readonly headers?: OutgoingHttpHeaders;
  /** Sent with Content-Length; chunked where it is a list. */
  readonly body?: string | Buffer | readonly (string | Buffer)[];
  /** Called when the last byte was handed over to the network. */
  readonly onSent?: () => void;
}

export interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly text: string;
  /** Status line aside, everything that came back, for canary searches. */
  readonly everything: string;
}

/** One connection per request, so that no answer depends on an earlier one. */
const agent = new Agent({ keepAlive: false, maxSockets: Number.POSITIVE_INFINITY });

/** Sends one request exactly as told: nothing is added but Host and the framing of the body. */
export async function send(
  url: string,
  { method = "POST", headers = {}, body, onSent }: Sending = {},
): Promise<Answer> {
  const { hostname, port, origin } = new URL(url);
  const outgoing = request({ hostname, port, path: url.slice(origin.length) || "/", method, headers, agent });
  const parts =
    body === undefined ? [] : Array.isArray(body) ? (body as readonly (string | Buffer)[]) : [body as string | Buffer];
  if (body !== undefined && !Array.isArray(body))
    outgoing.setHeader("content-length", Buffer.byteLength(parts[0] as string));
  for (const part of parts) outgoing.write(part);
  if (onSent !== undefined) outgoing.once("finish", onSent);
  outgoing.end();
  const [incoming] = (await once(outgoing, "response")) as [import("node:http").IncomingMessage];
  const chunks: Buffer[] = [];
  for await (const chunk of incoming as AsyncIterable<Buffer>) chunks.push(chunk);
  const text = Buffer.concat(chunks).toString("utf8");
  return {
    status: incoming.statusCode ?? 0,
    headers: incoming.headers,
    text,
    everything: `${incoming.rawHeaders.join("\n")}\n${text}`,
  };
}

/** Writes bytes to a socket as they are and gives back what came until the other side closed it. */
export async function sendRaw(
  url: string,
  bytes: string | Buffer,
): Promise<{ readonly text: string; readonly statuses: readonly number[] }> {
  const { hostname, port } = new URL(url);
  const socket = connect({ host: hostname, port: Number(port) });
  const chunks: Buffer[] = [];
  socket.on("data", (chunk) => chunks.push(chunk));
  socket.on("error", () => {});
  const closed = once(socket, "close");
  socket.write(bytes);
  await closed;
  const text = Buffer.concat(chunks).toString("latin1");
  return { text, statuses: [...text.matchAll(/HTTP\/1\.1 (\d{3}) /g)].map(([, status]) => Number(status)) };
}

export const json = { "content-type": "application/json", accept: "application/json, text/event-stream" };

/** Fields of a well-formed MCP POST of an agent. */
export function as(key: string, more: OutgoingHttpHeaders = {}): OutgoingHttpHeaders {
  return { ...json, "x-agent-api-key": key, ...more };
}

/** The text of a `tools/call`. */
export function toolCall(name: string, args: unknown = {}, id: unknown = 1): string {
  return JSON.stringify({ jsonrpc: "2.0", id, method: "tools/call", params: { name, arguments: args } });
}

/** What a refusal looks like as a JSON-RPC error. */
export function refusal(code: number, data: Record<string, unknown>, id: unknown = null): unknown {
  return { jsonrpc: "2.0", id, error: { code, message: data["message"], data } };
}
