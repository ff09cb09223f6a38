import { mostCardBytes, parseCard, type Members } from "@sluice/a2a";
import { Fault, toFault } from "@sluice/contracts";
import { forward } from "../forward.ts";
import type { Agent } from "./agents.ts";
import { trusted } from "./card-trust.ts";
import { offeredInterfaces, type Offered } from "./offered-interfaces.ts";

/** An agent's card as it came, and what it offers. */
export interface UpstreamCard extends Offered {
  readonly card: Members;
  /** Why its signature is none that anything can rest on. */
  readonly doubt?: string;
  readonly etag?: string;
}

const timeoutMs = 10_000;
/** Where cards are: from 0.3 on, and before that. */
const wellKnown = ["/.well-known/agent-card.json", "/.well-known/agent.json"] as const;
/** The card may be at the other place. */
const notHere = new Set([404, 405, 410]);

/**
 * Fetches an agent's card with the gateway's own credentials, following no redirect: from where it is configured, else from
 * where revisions say that cards are. Gives back `known` where it has not changed.
 * @throws Fault that says why there is none, without a secret
 */
export async function fetchCard(agent: Agent, traceparent: string, known?: UpstreamCard): Promise<UpstreamCard> {
  let failure = new Fault("upstream_failed", "no card");
  for (const path of pathsOf(agent)) {
    const fetched = await fetchFrom(agent, { path, traceparent, known }).catch((error: unknown) => toFault(error));
    if (!(fetched instanceof NotHere)) {
      if (fetched instanceof Fault) throw told(agent, fetched);
      return fetched;
    }
    failure = fetched;
  }
  throw told(agent, failure);
}

class NotHere extends Fault {}

function told({ title }: Agent, fault: Fault): Fault {
  if (fault.row.blame !== "upstream" || fault.kind === "upstream_unavailable") return fault;
  return new Fault("upstream_failed", `the card of the ${title} could not be read: ${fault.message}`, { cause: fault });
}

function pathsOf({ endpoint, path, pathOnly }: Agent): readonly string[] {
  if (endpoint.card === undefined) return [...new Set([pathOnly.replace(/\/+$/, "") + wellKnown[0], ...wellKnown])];
  const place = wellKnown.find((one) => pathOnly.endsWith(one));
  if (place === undefined) return [path];
  const others = wellKnown.filter((one) => one !== place);
  return [path, ...others.map((one) => path.replace(place, one))];
}

interface From {
  readonly path: string;
  readonly traceparent: string;
  readonly known: UpstreamCard | undefined;
}

async function fetchFrom(agent: Agent, from: From): Promise<UpstreamCard> {
  const { traceparent } = from;
  const fetched = await documentAt(agent, from);
  if (fetched === "unchanged" && from.known !== undefined) return from.known;
  if (fetched === "unchanged") throw new Fault("upstream_failed", "it answers 304");
  const { card, doubt } = await trusted(agent, fetched.card, readerOf(agent, traceparent));
  const { etag } = fetched;
  return {
    card,
    ...offeredInterfaces(card, agent.endpoint.url),
    ...(doubt !== undefined && { doubt }),
    ...(typeof etag === "string" && { etag }),
  };
}

/** Reads documents of the agent's origin. */
export function readerOf(agent: Agent, traceparent: string): (path: string) => Promise<Members> {
  return async (path) => {
    const read = await documentAt(agent, { path, traceparent, known: undefined });
    return read === "unchanged" ? {} : read.card;
  };
}

/** One document of the agent's origin. @throws Fault */
async function documentAt(agent: Agent, { path, traceparent, known }: From) {
  const { version = "1.0" } = agent.endpoint;
  const headers = {
    accept: "application/json",
    ...(version === "1.0" && { "a2a-version": version }),
    ...(known?.etag !== undefined && { "if-none-match": known.etag }),
  };
  const { calls: connections } = agent;
  const sent = { http: "GET", headers } as const;
  const exchange = forward({ head: sent, upstream: agent, connections, body: null, traceparent, path });
  const late = new Fault("upstream_timeout", `no answer within ${timeoutMs / 1000} s`);
  const timer = setTimeout(() => exchange.abort(late), timeoutMs);
  try {
    const { status, headers: received } = await exchange.head;
    if (status === 304) return "unchanged";
    if (notHere.has(status)) throw new NotHere("upstream_failed", `it answers ${status}`);
    if (status !== 200) throw new Fault("upstream_failed", `it answers ${status}`);
    const { bytes, complete } = await exchange.collect(mostCardBytes);
    if (!complete) throw new Fault("upstream_failed", `it has more than ${mostCardBytes} bytes`);
    return { card: parseCard(bytes), etag: received["etag"] };
  } finally {
    clearTimeout(timer);
    exchange.abort(late);
  }
}
