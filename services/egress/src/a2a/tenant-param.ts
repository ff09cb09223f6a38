import { requestForTenant, type WireRequest } from "@sluice/a2a";
import { Fault, type A2aCall } from "@sluice/contracts";
import type { AgentInterface } from "./agent-interface.ts";

type Asked = Pick<A2aCall, "tenant" | "dialect">;

/** A client does not choose whose tasks it sees at an agent: it names the tenant of the interface, or none. @throws Fault `invalid_params` */
export function requireTenant({ tenant }: AgentInterface, { tenant: named, dialect }: Asked): void {
  if (named === undefined || named === tenant || (tenant === undefined && dialect.version !== "1.0")) return;
  throw new Fault("invalid_params", '"tenant" is not one that this agent is called for: leave it out');
}

/** Names in a request the tenant that an agent's interface wants named (A2A 1.0 §4.4.6). @throws Fault */
export function forTenant({ dialect, tenant }: AgentInterface, request: WireRequest): WireRequest {
  return tenant === undefined ? request : requestForTenant(dialect, tenant, request);
}
