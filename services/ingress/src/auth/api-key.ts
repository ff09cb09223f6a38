import { hash } from "node:crypto";
import type { AuthMethod } from "./index.ts";

const longestKey = 512;
const bearer = /^Bearer +([\x21-\x7e]+)$/i;

/**
 * API keys in the tenant's header (`x-agent-api-key`) or as a bearer token. Only SHA-256 hashes are known; looking one up
 * takes time that depends on the hash alone, from which a key cannot be approached step by step.
 */
export const apiKey: AuthMethod = (headers, tenants) => {
  for (const name of tenants.keyHeaders) {
    const key = headers[name];
    if (key !== undefined) return typeof key === "string" ? find(key) : undefined;
  }
  return find(bearer.exec(headers.authorization ?? "")?.[1] ?? "");

  function find(key: string) {
    if (key.length === 0 || key.length > longestKey) return undefined;
    return tenants.byKeyHash(hash("sha256", key, "hex"));
  }
};
