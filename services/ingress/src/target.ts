import { allServers, type IngressSection } from "@sluice/contracts";
import type { Operation } from "./operation.ts";
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

/**
 * What a server itself calls the thing that a request names: rules are about that, whatever address it was reached by.
 * Where servers share an address, a name that begins with a server's name and the separator is that server's.
 * @param server that the name begins with (`namedServer`)
 */
export function ownName({ target: name }: Operation, server: string | undefined): string | undefined {
  return server === undefined ? name : name?.slice(server.length + 1);
}

/** The server that a name at the address of all of them begins with; undefined where it says none. */
export function namedServer(
  target: Target,
  { target: name, method, targetKind }: Operation,
  { servers, toolPrefix }: Pick<IngressSection, "servers" | "toolPrefix">,
): string | undefined {
  if (name === undefined || target.name !== allServers || toolPrefix === "never") return undefined;
  const isUri = method.startsWith("resources/") || targetKind === "resources";
  const at = name.indexOf(isUri ? "+" : "_");
  return at > 0 ? servers.find((server) => server.name === name.slice(0, at))?.name : undefined;
}
