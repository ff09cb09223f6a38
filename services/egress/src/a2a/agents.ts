import type { SectionMap } from "@sluice/bus";
import type { A2aEndpoint } from "@sluice/contracts";
import { closedBy, type ClosedEndpoint } from "../closed-endpoints.ts";
import { ConnectedEndpoints, type Connected, type ConnectedOptions } from "../connected-endpoints.ts";

/** An agent as it is configured; `url` is its card's where only that is given: calls go to the same origin, or nowhere. */
export type AgentEndpoint = Omit<A2aEndpoint, "url"> & { readonly url: string };

/** One agent of a tenant, ready to be called. */
export type Agent = Connected<AgentEndpoint>;

/** The agents of all tenants. */
export class Agents extends ConnectedEndpoints<AgentEndpoint> {
  /** Those whose card says no way to call them. */
  readonly #unusable = new Map<string, ClosedEndpoint>();
  #callers = new Map<string, ReadonlySet<string>>();

  constructor(options: ConnectedOptions) {
    super("a2a", options);
  }

  /** Whether the configuration lists a caller of this id. */
  lists(tenant: string, agent: string): boolean {
    return this.#callers.get(tenant)?.has(agent) === true;
  }

  override get closed(): readonly ClosedEndpoint[] {
    return [...super.closed, ...this.#unusable.values()];
  }

  override get problems(): string[] {
    return [...super.problems, ...[...this.#unusable.values()].map(({ problem }) => problem)];
  }

  /** Notes why nothing can be sent to an agent. Gives back what is to be told, where that is news. */
  unusable(agent: Agent, why: string): string | undefined {
    const { tenant, endpoint } = agent;
    const closed = { ...closedBy(new Error(why), { tenant, protocol: this.protocol, endpoint }), isTemporary: true };
    const isNews = this.#unusable.get(keyOf(agent))?.problem !== closed.problem;
    this.#unusable.set(keyOf(agent), closed);
    return isNews ? closed.problem : undefined;
  }

  /** It can be called (again). */
  usable(agent: Agent): void {
    if (this.#unusable.size > 0) this.#unusable.delete(keyOf(agent));
  }

  /** Takes over a version of the configuration; returns the endpoints that stay closed under it. */
  configure(sections: SectionMap<"egress">): readonly ClosedEndpoint[] {
    this.#callers = new Map([...sections].map(([tenant, { agentIds }]) => [tenant, new Set(agentIds)]));
    this.connect(new Map([...sections].map(([tenant, { agentEndpoints }]) => [tenant, agentEndpoints.map(addressed)])));
    for (const [key, { tenant, server }] of this.#unusable) {
      const agent = this.find(tenant, server);
      if (agent === undefined || keyOf(agent) !== key) this.#unusable.delete(key);
    }
    return this.closed;
  }
}

function keyOf({ tenant, endpoint }: Agent): string {
  return `${tenant}/${endpoint.name} ${endpoint.url}`;
}

function addressed(endpoint: A2aEndpoint): AgentEndpoint {
  const url = endpoint.url ?? endpoint.card;
  if (url === undefined) throw new Error("an agent needs url or card");
  return { ...endpoint, url };
}
