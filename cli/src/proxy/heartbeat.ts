import type { IncomingMessage, ServerResponse } from "node:http";

/** The event streams of this proxy's own, which say nothing but that they are there. */
export interface Beats {
  readonly everyMs: number;
  /** Ends them all. */
  readonly stop: AbortSignal;
}

/** What an endpoint answers that has no event stream: method not allowed, not implemented. */
const notStreaming = new Set([405, 501]);
const comment = ": heartbeat\n\n";

/**
 * Whether a client wants to listen at the MCP endpoint of an upstream that does not stream (MCP 2025-11-25, Transports): some
 * take its 405 for a failure. A 404 within a session says that the session is over, and goes on.
 */
export function listensInVain({ method, url, headers }: IncomingMessage, status: number): boolean {
  if (
    method !== "GET" ||
    !/^\/mcp\/?(?:\?|$)/.test(url ?? "") ||
    headers.accept?.includes("text/event-stream") !== true
  )
    return false;
  return notStreaming.has(status) || (status === 404 && headers["mcp-session-id"] === undefined);
}

/** Keeps the stream open until the client leaves or the proxy stops. */
export async function beat(response: ServerResponse, { everyMs, stop }: Beats): Promise<void> {
  const over = Promise.withResolvers<void>();
  response.writeHead(200, { "content-type": "text/event-stream", "cache-control": "no-cache, no-transform" });
  response.write(comment);
  const timer = setInterval(() => void (response.writableLength === 0 && response.write(comment)), everyMs);
  const end = () => void response.end();
  response.once("close", over.resolve);
  stop.addEventListener("abort", end, { once: true });
  if (stop.aborted) end();
  await over.promise;
  clearInterval(timer);
  stop.removeEventListener("abort", end);
}
