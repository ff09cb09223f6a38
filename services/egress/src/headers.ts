import type { Agent } from "@sluice/contracts";
import { endsHere, isEventStream, type ReceivedHeaders } from "@sluice/relay";

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

/** The upstream's header fields that reach the client. */
export function relayedHeaders(received: Record<string, string | string[] | undefined>): Record<string, string> {
  const isHopByHop = endsHere(received["connection"]);
  const relayed: Record<string, string> = {};
  for (const name in received) {
    const value = received[name];
    const hidden = isHopByHop(name) || notRelayed.has(name) || name.startsWith("access-control-");
    if (value === undefined || hidden) continue;
    relayed[name] = Array.isArray(value) ? value.join(", ") : value;
  }
  return relayed;
}

/** Whether an answer is a stream of events. */
export function isStreamAnswer(status: number, headers: ReceivedHeaders): boolean {
  return status === 200 && isEventStream(headers);
}
