import { hash } from "node:crypto";
import type { Principal, Tenants } from "../tenants.ts";
import type { AuthMethod } from "./index.ts";

const longestKey = 512;
const bearer = /^Bearer +([\x21-\x7e]+)$/i;

/**
 * API keys in the tenant's header (`x-agent-api-key`) or as a bearer token. What stands in another tenant's header counts for
 * nothing, and two keys that say different things speak for nobody. Only SHA-256 hashes are known; looking one up takes time
 * that depends on the hash alone, from which a key cannot be approached step by step.
 */
export const apiKey: AuthMethod = (headers, tenants) => {
  const found: Principal[] = [];
  for (const name in headers) {
    if (!tenants.keyHeaders.has(name)) continue;
    const principal = find(tenants, headers[name]);
    if (principal !== undefined && tenants.find(principal.tenant)?.keyHeaders.includes(name)) found.push(principal);
  }
  const byToken = find(tenants, bearer.exec(headers.authorization ?? "")?.[1]);
  if (byToken !== undefined) found.push(byToken);
  const [first] = found;
  return found.every(({ tenant, agent }) => tenant === first?.tenant && agent.id === first.agent.id)
    ? first
    : undefined;
};

function find(tenants: Tenants, key: string | string[] | undefined): Principal | undefined {
  if (typeof key !== "string" || key.length === 0 || key.length > longestKey) return undefined;
  return tenants.byKeyHash(hash("sha256", key, "hex"));
}
