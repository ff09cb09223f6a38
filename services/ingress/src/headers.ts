import type { IncomingHttpHeaders } from "node:http";

export interface ForwardOptions {
  /** What the endpoint lets through. */
  readonly named: readonly string[];
  readonly credentials: readonly string[];
  /** What every message may carry on. */
  readonly always?: readonly string[];
}

/** What every MCP message may carry on; nothing else of the client's travels unless the endpoint names it. */
const mcpHeaders = [
  "accept",
  "accept-language",
  "content-type",
  "user-agent",
  "mcp-protocol-version",
  "mcp-method",
  "mcp-name",
];
const paramPrefix = "mcp-param-";

/** Names that no configuration can let through: credentials, identity, routing and what each hop sets itself. */
const never =
  /^(?:authorization|cookie|host|connection|content-length|transfer-encoding|te|trailer|upgrade|expect|forwarded|traceparent|mcp-session-id|last-event-id|accept-encoding|keep-alive|proxy-.*|x-forwarded-.*|x-real-ip|x-verified-agent-.*|x-api-key-id|x-signature|x-timestamp|x-nonce|x-content-sha256|x-agent-api-key|nats-.*|client-cert|client-cert-chain|(?:x-)?ssl-.*|x-(?:client|tls)-.*)$/;

/** The client's header fields that go to the upstream: an allow-list, so that nothing spoofed or secret passes (A5, A15). */
export function forwardedHeaders(
  received: IncomingHttpHeaders,
  { named, credentials, always = mcpHeaders }: ForwardOptions,
): Record<string, string> {
  const forwarded: Record<string, string> = {};
  for (const name of always) {
    const value = received[name];
    if (typeof value === "string") forwarded[name] = value;
  }
  for (const name in received) {
    const asked = named.includes(name) && !never.test(name);
    if (!asked && !(always === mcpHeaders && name.startsWith(paramPrefix))) continue;
    const value = received[name];
    if (typeof value === "string") forwarded[name] = value;
  }
  for (const name of credentials) delete forwarded[name];
  return forwarded;
}
