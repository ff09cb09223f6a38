import { Fault, type Dialect } from "@sluice/contracts";
import { interfaceFor, type AgentInterface } from "./agent-interface.ts";
import type { Agent } from "./agents.ts";

/** Knows how each agent is spoken to. */
export class AgentDirectory {
  /** The interface that a call of a client of this dialect goes to. @throws Fault `upstream_failed` where there is none */
  async interfaceFor(agent: Agent, client: Dialect): Promise<AgentInterface> {
    const { version = "1.0", binding = "JSONRPC", card } = agent.endpoint;
    if (card === undefined) return { dialect: { version, binding }, path: agent.path };
    const chosen = interfaceFor(client, await Promise.resolve([]));
    if (chosen === undefined) throw new Fault("upstream_failed", `the ${agent.title} offers no way to be called`);
    return chosen;
  }
}
