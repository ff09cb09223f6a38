import type { IncomingHttpHeaders } from "node:http";
import { endsHere, type ReceivedHeaders } from "@sluice/relay";

/** Credentials of the client's own, which go on only where FORWARD_HEADERS names them. */
const credentials = new Set(["authorization", "cookie", "proxy-authorization", "x-agent-api-key"]);
/** What only this proxy says, or nobody should believe (A15). */
const notForwarded =
  /^(?:host|origin|referer|expect|forwarded|via|x-forwarded-.*|x-real-ip|x-verified-agent-.*|x-api-key-id|x-signature|x-timestamp|x-nonce|x-content-sha256|nats-.*|sec-.*)$/;

/** What upstreams act on, so that it goes on in no other spelling. */
const onlyAsIs = /^(?:content-.*|mcp-.*)$/;

/** So many names are judged once. */
const mostKnown = 512;

/** Judges a client's fields; an instance per proxy. `content-length` stays, because the body does. */
export class ClientFields {
  readonly #named: readonly string[];
  readonly #known = new Map<string, boolean>();

  /** @param named in any case: credentials that go on all the same */
  constructor(named: readonly string[]) {
    this.#named = named.map((name) => name.toLowerCase());
  }

  /** Those that go to the upstream. */
  forwarded(received: IncomingHttpHeaders): Record<string, string> {
    const isHopByHop = endsHere(received.connection);
    // Servers that hand fields on as variables take "_" for "-": what is spelled so must not pass for what it is not.
    const passes = (name: string) => this.#passes(name) && !isHopByHop(name.replaceAll("_", "-"));
    const forwarded: Record<string, string> = {};
    for (const name in received) {
      const value = received[name];
      if (value === undefined || !passes(name)) continue;
      forwarded[name] = Array.isArray(value) ? value.join(", ") : value;
    }
    return forwarded;
  }

  #passes(name: string): boolean {
    const known = this.#known.get(name);
    if (known !== undefined) return known;
    const spelled = name.replaceAll("_", "-");
    const isDisguised = spelled !== name && onlyAsIs.test(spelled);
    const passes = credentials.has(spelled) ? this.#named.includes(name) : !isDisguised && !notForwarded.test(spelled);
    if (this.#known.size < mostKnown) this.#known.set(name, passes);
    return passes;
  }
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
