import type { SectionMap } from "@sluice/bus";
import type { A2aEndpoint } from "@sluice/contracts";
import type { ClosedEndpoint } from "../closed-endpoints.ts";
import { ConnectedEndpoints, type Connected, type ConnectedOptions } from "../connected-endpoints.ts";

/** An agent as it is configured; `url` is its card's where only that is given: calls go to the same origin, or nowhere. */
export type AgentEndpoint = Omit<A2aEndpoint, "url"> & { readonly url: string };

/** One agent of a tenant, ready to be called. */
export type Agent = Connected<AgentEndpoint>;

/** The agents of all tenants. */
export class Agents extends ConnectedEndpoints<AgentEndpoint> {
  #callers = new Map<string, ReadonlySet<string>>();

  constructor(options: ConnectedOptions) {
    super("a2a", options);
  }

  /** Whether the configuration lists a caller of this id. */
  lists(tenant: string, agent: string): boolean {
    return this.#callers.get(tenant)?.has(agent) === true;
  }

  /** Takes over a version of the configuration; returns the endpoints that stay closed under it. */
  configure(sections: SectionMap<"egress">): readonly ClosedEndpoint[] {
    this.#callers = new Map([...sections].map(([tenant, { agentIds }]) => [tenant, new Set(agentIds)]));
    return this.connect(
      new Map([...sections].map(([tenant, { agentEndpoints }]) => [tenant, agentEndpoints.map(addressed)])),
    );
  }
}

function addressed(endpoint: A2aEndpoint): AgentEndpoint {
  const url = endpoint.url ?? endpoint.card;
  if (url === undefined) throw new Error("an agent needs url or card");
  return { ...endpoint, url };
}
