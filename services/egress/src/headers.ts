import type { Agent } from "@sluice/contracts";

/** RFC 9110 §7.6.1, and what each hop sets for itself. */
const hopByHop = new Set([
  "connection",
  "keep-alive",
  "proxy-authenticate",
  "proxy-authorization",
  "proxy-connection",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
]);

/** What an upstream may not set on the gateway's own origin, and what the gateway sets itself. */
const notRelayed = new Set(["content-length", "mcp-session-id", "set-cookie", "alt-svc", "strict-transport-security"]);

/** Identity as ingress verified it (P3). Text that is not plain ASCII travels percent-encoded. */
export function identityHeaders(agent: Agent): Record<string, string> {
  return {
    "x-verified-agent-id": headerText(agent.id),
    ...(agent.name !== undefined && { "x-verified-agent-name": headerText(agent.name) }),
    ...(agent.owner !== undefined && { "x-verified-agent-owner": headerText(agent.owner) }),
  };
}

function headerText(text: string): string {
  return /^[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?$/.test(text) ? text : encodeURIComponent(text);
}

/** The fields that a Connection field names: they are for this hop only. */
function namedIn(connection: string | string[] | undefined): readonly string[] {
  if (connection === undefined || connection === "keep-alive" || connection === "close") return [];
  return String(connection)
    .toLowerCase()
    .split(",")
    .map((name) => name.trim());
}

/** The upstream's header fields that reach the client. */
export function relayedHeaders(received: Record<string, string | string[] | undefined>): Record<string, string> {
  const named = namedIn(received["connection"]);
  const relayed: Record<string, string> = {};
  for (const name in received) {
    const value = received[name];
    const hidden =
      hopByHop.has(name) || notRelayed.has(name) || name.startsWith("access-control-") || named.includes(name);
    if (value === undefined || hidden) continue;
    relayed[name] = Array.isArray(value) ? value.join(", ") : value;
  }
  return relayed;
}

/** Whether an answer is a stream of events. */
export function isEventStream(status: number, headers: Record<string, string | string[] | undefined>): boolean {
  return status === 200 && /^text\/event-stream\s*(;|$)/i.test(String(headers["content-type"] ?? ""));
}
