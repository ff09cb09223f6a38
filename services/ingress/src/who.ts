import { identityOf, type Intent } from "@sluice/contracts";
import type { Principal } from "./tenants.ts";

/** What others learn of a principal: who it is, and what its credential says beside that. */
export interface Who extends Pick<Intent, "agent" | "issuer" | "user" | "scopes"> {
  readonly identity: string;
}

const known = new WeakMap<Principal, Who>();

/** Worked out once for each principal, however many calls it makes. */
export function whoOf(principal: Principal): Who {
  let who = known.get(principal);
  if (who === undefined) known.set(principal, (who = read(principal)));
  return who;
}

function read({ agent, issuer, user, scopes }: Principal): Who {
  const caller = { agent, ...(issuer !== undefined && { issuer }), ...(user !== undefined && { user }) };
  return { ...caller, identity: identityOf(caller), ...(scopes !== undefined && { scopes: [...scopes] }) };
}
