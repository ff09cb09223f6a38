import type { Dialect } from "@sluice/contracts";
import { cutQuery } from "../forward.ts";

/** Where and how an agent takes calls: one of the interfaces that its card offers, or what the configuration says. */
export interface AgentInterface {
  readonly dialect: Dialect;
  /** Path and query on the agent's origin. */
  readonly path: string;
  /** What an agent for several tenants wants named in each call (A2A 1.0 §4.4.6). */
  readonly tenant?: string;
}

/**
 * The interface to speak to for a client of this dialect: its own, so that bytes can pass as they are; else the newest
 * revision, and the client's binding where that has both. Undefined where there is none.
 */
export function interfaceFor(client: Dialect, offered: readonly AgentInterface[]): AgentInterface | undefined {
  const isBetter = (one: Dialect, than: Dialect) => {
    if (isSame(one, client) !== isSame(than, client)) return isSame(one, client);
    if (one.version !== than.version) return one.version > than.version;
    return one.binding === client.binding && than.binding !== client.binding;
  };
  return offered.reduce<AgentInterface | undefined>(
    (best, one) => (best === undefined || isBetter(one.dialect, best.dialect) ? one : best),
    undefined,
  );
}

/** Revision and binding are those of the other. */
export function isSame(one: Dialect, other: Dialect): boolean {
  return one.version === other.version && one.binding === other.binding;
}

/** The path on an agent's origin of what stands behind its address, such as `/tasks/7?historyLength=1`. */
export function pathOf({ path, dialect }: AgentInterface, rest: string): string {
  if (dialect.binding === "JSONRPC") return path;
  const [base, ownQuery] = cutQuery(path);
  const [behind, query] = cutQuery(rest);
  const queries = [ownQuery, query].filter((one) => one !== "").join("&");
  return `${base.replace(/\/+$/, "")}${behind}${queries === "" ? "" : `?${queries}`}`;
}
