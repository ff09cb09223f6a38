import { hash } from "node:crypto";
import type { Intent } from "./audit.ts";

/** 132 bits, more than anybody finds two callers for. */
const length = 22;

/**
 * Who a caller is, for whatever belongs to one caller alone: with tokens one agent id can stand for several owners, users
 * and issuers. Scopes are no part of it: a caller that gets more of them goes on with what is its own.
 */
export function identityOf({ agent, issuer, user }: Pick<Intent, "agent" | "issuer" | "user">): string {
  const parts = [agent.id, agent.name, agent.owner, issuer, user].map((part) => part ?? null);
  return hash("sha256", JSON.stringify(parts), "base64url").slice(0, length);
}
