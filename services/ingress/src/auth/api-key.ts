import { hash } from "node:crypto";
import type { Principal, Tenants } from "../tenants.ts";
import type { AuthMethod } from "./index.ts";

const longestKey = 512;
const bearer = /^Bearer +([\x21-\x7e]+)$/i;

/**
 * API keys in the tenant's header (`x-agent-api-key`) or as a bearer token. A key in a header that only other tenants use for
 * keys counts for nothing; beside a key of somebody else, or a wrong one in a header of its tenant, it speaks for nobody.
 * Only SHA-256 hashes are known; looking one up takes time that depends on the hash alone, from which a key cannot be
 * approached step by step.
 */
export const apiKey: AuthMethod = (headers, tenants) => {
  const keyHeadersOf = (principal: Principal) => tenants.find(principal.tenant)?.keyHeaders ?? [];
  const found: Principal[] = [];
  for (const name in headers) {
    if (!tenants.keyHeaders.has(name)) continue;
    const principal = find(tenants, headers[name]);
    if (principal !== undefined && keyHeadersOf(principal).includes(name)) found.push(principal);
  }
  const byToken = find(tenants, bearer.exec(headers.authorization ?? "")?.[1]);
  const first = found[0] ?? byToken;
  if (first === undefined) return undefined;
  const own = new Set(keyHeadersOf(first).filter((name) => headers[name] !== undefined));
  const agrees = ({ tenant, agent }: Principal) => tenant === first.tenant && agent.id === first.agent.id;
  return own.size === found.length && found.every(agrees) && (byToken === undefined || agrees(byToken))
    ? first
    : undefined;
};

function find(tenants: Tenants, key: string | string[] | undefined): Principal | undefined {
  if (typeof key !== "string" || key.length === 0 || key.length > longestKey) return undefined;
  return tenants.byKeyHash(hash("sha256", key, "hex"));
}
