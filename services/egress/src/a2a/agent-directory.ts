import { cardInAnswer, type WireAnswer } from "@sluice/a2a";
import { Fault, toFault, type Dialect } from "@sluice/contracts";
import type { Log } from "@sluice/telemetry";
import type { AgentCall } from "./agent-call.ts";
import { interfaceFor, type AgentInterface } from "./agent-interface.ts";
import type { Agent, Agents } from "./agents.ts";
import { trusted } from "./card-trust.ts";
import { fetchCard, readerOf, type UpstreamCard } from "./upstream-card.ts";

/** A card is used as it is for so long, and is then fetched anew beside the calls that use it. */
const freshMs = 60_000;
/** Where it cannot be fetched anew for so long, it counts no more. */
const mostStaleMs = 600_000;
/** An agent is not asked for its card more often than this. */
const retryMs = 3_000;
/** What hints at a change of the card has it fetched anew, but not more often than this. */
const doubtMs = 30_000;

export interface AgentDirectoryOptions {
  readonly agents: Agents;
  readonly log: Log;
  readonly now?: () => number;
}

interface Entry {
  card?: UpstreamCard;
  failure?: Fault;
  fetching?: Promise<UpstreamCard> | undefined;
  /** When the card was last asked for, when it was last seen to be as it is, and the same whatever was doubted since. */
  triedAt: number;
  seenAt: number;
  goodAt: number;
}

/** Knows how each agent is spoken to: its configuration says so, or its card, which is kept for a few minutes. */
export class AgentDirectory {
  readonly #options: AgentDirectoryOptions;
  readonly #now: () => number;
  readonly #entries = new Map<string, Entry>();

  constructor(options: AgentDirectoryOptions) {
    this.#options = options;
    this.#now = options.now ?? Date.now;
    options.agents.beforeChange((stays) => {
      for (const key of this.#entries.keys()) {
        const [tenant = "", name = "", url = ""] = key.split("\0");
        if (!stays(tenant, name, url)) this.#entries.delete(key);
      }
    });
  }

  /** The interface that a call of a client of this dialect goes to. @throws Fault `upstream_failed` where there is none */
  interfaceFor(agent: Agent, client: Dialect, traceparent: string): AgentInterface | Promise<AgentInterface> {
    const { version, binding, card } = agent.endpoint;
    if (card === undefined)
      return { dialect: { version: version ?? "1.0", binding: binding ?? "JSONRPC" }, path: agent.path };
    const known = this.cardOf(agent, traceparent);
    return known instanceof Promise
      ? known.then((one) => this.#choose(agent, client, one))
      : this.#choose(agent, client, known);
  }

  /** The agent's card as it came lately. @throws Fault that says why there is none */
  cardOf(agent: Agent, traceparent: string): UpstreamCard | Promise<UpstreamCard> {
    const entry = this.#entry(agent);
    const now = this.#now();
    const isDue = now - entry.triedAt >= retryMs && now - entry.seenAt >= freshMs;
    if (entry.card !== undefined && now - entry.goodAt >= mostStaleMs) delete entry.card;
    if (entry.card !== undefined) {
      if (isDue && entry.fetching === undefined) this.#fetch(agent, entry, traceparent).catch(() => {});
      return entry.card;
    }
    if (entry.fetching !== undefined) return entry.fetching;
    if (entry.failure !== undefined && !isDue) throw entry.failure;
    return this.#fetch(agent, entry, traceparent);
  }

  /**
   * An answer that shows an extended card, with what its signature vouches for; a signature stays only where it is doubtful.
   * @throws Fault `upstream_failed` where a good one is required
   */
  async vouched({ agent, at, traceparent }: Pick<AgentCall, "agent" | "at" | "traceparent">, answer: WireAnswer) {
    const shown = cardInAnswer(at.dialect, answer);
    if (shown === undefined) return answer;
    const { card, doubt } = await trusted(agent, shown.card, readerOf(agent, traceparent));
    const { tenant, endpoint } = agent;
    if (doubt !== undefined)
      this.#options.log.warn(
        { tenant, agent: endpoint.name, doubt },
        "the extended card's signature is not a good one",
      );
    const { signatures: _, ...unsigned } = card;
    return shown.with(doubt === undefined ? unsigned : card);
  }

  /** The agent does not answer as its card has it: the next call has it fetched anew. */
  doubt(agent: Agent): void {
    const entry = this.#entry(agent);
    if (this.#now() - entry.triedAt >= doubtMs) entry.seenAt = -Infinity;
  }

  #entry({ tenant, endpoint: { name, url, cardSignature, cardKeys } }: Agent): Entry {
    const key = [tenant, name, url, cardSignature, ...(cardKeys ?? [])].join("\0");
    const entry = this.#entries.get(key) ?? { triedAt: -Infinity, seenAt: -Infinity, goodAt: -Infinity };
    this.#entries.set(key, entry);
    return entry;
  }

  /** One request, however many wait for it. */
  #fetch(agent: Agent, entry: Entry, traceparent: string): Promise<UpstreamCard> {
    entry.triedAt = this.#now();
    entry.fetching = fetchCard(agent, traceparent, entry.card)
      .then((card) => {
        if (card !== entry.card) this.#tell(agent, card);
        entry.card = card;
        entry.seenAt = entry.goodAt = this.#now();
        delete entry.failure;
        return card;
      })
      .catch((error: unknown) => {
        entry.failure = toFault(error);
        if (agent.endpoint.card !== undefined && entry.card === undefined) this.#complain(agent, entry.failure.message);
        throw entry.failure;
      })
      .finally(() => (entry.fetching = undefined));
    return entry.fetching;
  }

  /** Says what of a card can't be used, once as it comes. */
  #tell({ tenant, endpoint }: Agent, { elsewhere, doubt }: UpstreamCard): void {
    const { log } = this.#options;
    const place = { tenant, agent: endpoint.name };
    if (doubt !== undefined) log.warn({ ...place, doubt }, "the card's signature is not a good one");
    if (elsewhere.length === 0) return;
    log.warn({ ...place, elsewhere }, "the card names other origins than its own: nothing is sent there");
  }

  /** Says, once, why an agent can't be called. */
  #complain(agent: Agent, why: string): void {
    const { agents, log } = this.#options;
    const problem = agents.unusable(agent, why);
    if (problem !== undefined) log.error({ problem }, "agent can't be called");
  }

  /** @throws Fault `upstream_failed` */
  #choose(agent: Agent, client: Dialect, { usable, elsewhere }: UpstreamCard): AgentInterface {
    const allowed = usable.filter((one) => isAllowed(agent, one));
    const chosen = interfaceFor(client, allowed);
    if (chosen === undefined) {
      const why = whyNone(agent, elsewhere);
      this.#complain(agent, why);
      throw new Fault("upstream_failed", why);
    }
    this.#options.agents.usable(agent);
    return chosen;
  }
}

/** The configuration pins revision, binding, both or none. */
function isAllowed({ endpoint: { version, binding } }: Agent, { dialect }: AgentInterface): boolean {
  return (version ?? dialect.version) === dialect.version && (binding ?? dialect.binding) === dialect.binding;
}

function whyNone({ title, endpoint: { version, binding } }: Agent, elsewhere: readonly string[]): string {
  const pinned = [version, binding].filter((one) => one !== undefined).join(" ");
  const wanted = pinned === "" ? "no interface that is served here" : `no interface of ${pinned}`;
  const hint =
    elsewhere.length === 0 ? "" : ` but at ${elsewhere.join(", ")}, and credentials go to no other origin than its own`;
  return `the card of the ${title} offers ${wanted}${hint}`;
}
