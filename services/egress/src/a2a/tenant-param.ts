import { requestForTenant, type WireRequest } from "@sluice/a2a";
import { Fault, type A2aCall } from "@sluice/contracts";
import type { AgentInterface } from "./agent-interface.ts";

/**
 * A client does not choose whose tasks it sees at an agent: it names the tenant of the interface, or none. What an agent
 * before 1.0 gets of it means nothing there. @throws Fault `invalid_params`
 */
export function requireTenant({ tenant, dialect }: AgentInterface, { tenant: named }: Pick<A2aCall, "tenant">): void {
  if (named === undefined || named === tenant || (tenant === undefined && dialect.version !== "1.0")) return;
  throw new Fault("invalid_params", '"tenant" is not one that this agent is called for: leave it out');
}

/** Names in a request the tenant that an agent's interface wants named (A2A 1.0 §4.4.6). @throws Fault */
export function forTenant({ dialect, tenant }: AgentInterface, request: WireRequest): WireRequest {
  return tenant === undefined ? request : requestForTenant(dialect, tenant, request);
}
