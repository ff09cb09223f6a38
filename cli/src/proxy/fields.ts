import type { IncomingHttpHeaders } from "node:http";
import { endsHere, type ReceivedHeaders } from "@sluice/relay";

/** Credentials of the client's own, which go on only where FORWARD_HEADERS names them. */
const credentials = new Set(["authorization", "cookie", "proxy-authorization", "x-agent-api-key"]);
/** What only this proxy says, or nobody should believe (A15). */
const notForwarded =
  /^(?:host|origin|referer|expect|forwarded|via|x-forwarded-.*|x-real-ip|x-verified-agent-.*|x-api-key-id|x-signature|x-timestamp|x-nonce|x-content-sha256|nats-.*|sec-.*)$/;

/** The client's fields that go to the upstream; `content-length` stays, because the body does. */
export function forwardedFields(received: IncomingHttpHeaders, named: readonly string[]): Record<string, string> {
  const isHopByHop = endsHere(received.connection);
  const forwarded: Record<string, string> = {};
  for (const name in received) {
    const value = received[name];
    const spelled = name.replaceAll("_", "-");
    const isKept = credentials.has(spelled) ? named.includes(name) : !notForwarded.test(spelled);
    if (value === undefined || !isKept || isHopByHop(name)) continue;
    forwarded[name] = Array.isArray(value) ? value.join(", ") : value;
  }
  return forwarded;
}

/** The upstream's fields that go to the client: all but those of this hop, and leave for pages of other sites (A18). */
export function relayedFields(received: ReceivedHeaders): Record<string, string | string[]> {
  const isHopByHop = endsHere(received["connection"]);
  const relayed: Record<string, string | string[]> = {};
  for (const name in received) {
    const value = received[name];
    if (value === undefined || isHopByHop(name) || name.startsWith("access-control-")) continue;
    relayed[name] = value;
  }
  return relayed;
}
