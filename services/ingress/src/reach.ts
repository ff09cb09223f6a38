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

/** @throws Fault `unauthorized` where the credential is for other servers; `undefined` stands for all of a tenant together */
export function requireReach({ servers }: Pick<Principal, "servers">, server: string | undefined): void {
  if (servers !== undefined && (server === undefined || !servers.includes(server))) throw new InvalidCredential();
}
