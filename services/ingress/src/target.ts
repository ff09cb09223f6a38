import { allServers, type IngressSection } from "@sluice/contracts";
import { noSuchServer } from "./tenants.ts";

/** Where a request goes: one server, or all of a tenant under one address. */
export type Target = IngressSection["servers"][number];

/** @throws Fault `not_found` */
export function findTarget(section: IngressSection, server: string | undefined): Target {
  const found = targetOf(section, server);
  if (found === undefined) throw noSuchServer(section.servers.length === 0 ? "no MCP servers" : undefined);
  return found;
}

/** Undefined where the tenant has no such server. */
export function targetOf({ servers }: IngressSection, server: string | undefined): Target | undefined {
  const [first, ...others] = servers;
  const found = server === undefined ? first : servers.find(({ name }) => name === server);
  if (found === undefined) return undefined;
  if (server !== undefined || others.length === 0) return found;
  return {
    name: allServers,
    responseTimeoutMs: Math.max(...servers.map(({ responseTimeoutMs }) => responseTimeoutMs)),
    maxPayloadBytes: Math.max(...servers.map(({ maxPayloadBytes }) => maxPayloadBytes)),
    forwardHeaders: [...new Set(servers.flatMap(({ forwardHeaders }) => forwardHeaders))],
  };
}
