import type { A2aBinding, Dialect } from "@sluice/contracts";
import type { AgentVersion } from "./agents/agent.ts";
import { clientDialects } from "./clients/clients.ts";

/** An agent as the suite starts it. */
interface AgentKind {
  readonly name: string;
  readonly version: AgentVersion;
  readonly bindings: readonly A2aBinding[];
}

const both = ["JSONRPC", "HTTP+JSON"] as const;

const agentKinds: readonly AgentKind[] = [
  { name: "1.0", version: "1.0", bindings: both },
  { name: "1.0-jsonrpc", version: "1.0", bindings: ["JSONRPC"] },
  { name: "1.0-rest", version: "1.0", bindings: ["HTTP+JSON"] },
  { name: "0.3", version: "0.3", bindings: both },
  { name: "0.3-rest", version: "0.3", bindings: ["HTTP+JSON"] },
  { name: "0.2", version: "0.2", bindings: ["JSONRPC"] },
  { name: "0.1", version: "0.1", bindings: ["JSONRPC"] },
];

/** A client and an agent that talk through the gateway. */
export interface Cell {
  readonly name: string;
  readonly client: Dialect;
  readonly agent: AgentKind;
  /** Both speak the same, so that nothing may be changed on the way. */
  readonly isSame: boolean;
}

export const clientName = ({ version, binding }: Dialect): string =>
  `${version}-${binding === "JSONRPC" ? "jsonrpc" : "rest"}`;

export const cells: readonly Cell[] = clientDialects.flatMap((client) =>
  agentKinds.map((agent) => ({
    name: `${clientName(client)} to ${agent.name}`,
    client,
    agent,
    isSame: agent.version === client.version && agent.bindings.includes(client.binding),
  })),
);
