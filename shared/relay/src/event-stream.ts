import type { ReceivedHeaders } from "./exchange.ts";

/** Whether what comes is a stream of events. */
export function isEventStream(headers: ReceivedHeaders): boolean {
  return /^text\/event-stream\s*(;|$)/i.test(String(headers["content-type"] ?? ""));
}
