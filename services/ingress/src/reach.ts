import { Fault, type Protocol } from "@sluice/contracts";
import { InvalidCredential } from "./auth/asked-credentials.ts";
import type { Principal } from "./tenants.ts";

/** @throws Fault `insufficient_scope` where the credential has scopes and lacks one that is wanted for this protocol */
export function requireScopes({ neededScopes, scopes = [] }: Principal, protocol: Protocol): void {
  const needed = neededScopes?.[protocol];
  if (needed === undefined || needed.every((scope) => scopes.includes(scope))) return;
  throw new Fault("insufficient_scope", `the credential needs the scope ${needed.join(" ")}`, {
    details: { requiredScopes: needed },
  });
}

/** A server or agent as `Principal.servers` names it; without a name, all of that protocol. */
export const reachOf = (protocol: Protocol, server = "*") => `${protocol}/${server}`;

/** @throws Fault `unauthorized` where the credential is for others; without a server, what is asked for is all of a tenant together */
export function requireReach({ servers }: Pick<Principal, "servers">, protocol: Protocol, server?: string): void {
  if (servers === undefined || servers.includes(reachOf(protocol))) return;
  if (server === undefined || !servers.includes(reachOf(protocol, server))) throw new InvalidCredential();
}
