import { isMembers, verifyCard, type Members } from "@sluice/a2a";
import { Fault } from "@sluice/contracts";
import type { Agent } from "./agents.ts";

/** What a card's signature says of it. */
export interface Trusted {
  readonly card: Members;
  /** Why the signature is none that anything can rest on, where there is one. */
  readonly doubt?: string;
}

/** Keys that are published once more than this are no key set. */
const mostKeys = 64;

/**
 * Looks at the signature of an agent's card as the configuration wants it: a good one leaves what it vouches for. Keys are
 * those of the configuration, else those that the signature names by an address of the agent's own origin, which `read` reads.
 * @throws Fault `upstream_failed` where a good one is required
 */
export async function trusted(agent: Agent, card: Members, read: (path: string) => Promise<Members>): Promise<Trusted> {
  const { cardSignature, cardKeys, url } = agent.endpoint;
  if (cardSignature === "off") return { card };
  const { origin } = new URL(url);
  const seen = await verifyCard(card, {
    ...(cardKeys !== undefined && { pinned: cardKeys }),
    fetch: async (jku) => {
      const at = URL.parse(jku);
      return at?.origin === origin ? await keysAt(read, at.pathname + at.search) : undefined;
    },
  });
  if (seen.is === "valid") return { card: seen.card };
  if (cardSignature === "required") {
    const why = seen.is === "unsigned" ? "it is not signed" : seen.reason;
    throw new Fault("upstream_failed", `a good signature is required: ${why}`);
  }
  return seen.is === "unsigned" ? { card } : { card, doubt: seen.reason };
}

async function keysAt(read: (path: string) => Promise<Members>, path: string): Promise<readonly Members[] | undefined> {
  const { keys } = await read(path).catch((): Members => ({}));
  return Array.isArray(keys) ? keys.filter(isMembers).slice(0, mostKeys) : undefined;
}
