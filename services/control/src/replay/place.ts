import {
  a2aRoutes,
  allServers,
  mcpRoutes,
  namedServer,
  ownName,
  prefixSeparatorOf,
  type Tenant,
} from "@sluice/contracts";
import type { RecordedCall } from "./recorded-call.ts";

/** The paths that name neither server nor agent. What is posted to `/mcp/messages` goes to the server of its session. */
const unnamed: ReadonlySet<string> = new Set(
  [...Object.keys(mcpRoutes), ...Object.keys(a2aRoutes)].filter(
    (path) => !path.includes(":") && path !== "/mcp/messages",
  ),
);

/** What the request's path and name mean under another configuration: the thing that rules are about. Undefined where the server is not there. */
export function placedTarget(call: RecordedCall, tenant: Tenant): { readonly target?: string } | undefined {
  return call.protocol === "mcp" ? targetAtServers(call, tenant) : targetAtAgents(call, tenant);
}

function targetAtServers(call: RecordedCall, { mcp }: Tenant): { readonly target?: string } | undefined {
  const { endpoints: servers, toolPrefix } = mcp;
  const address = namesNone(call) ? (servers.length > 1 ? allServers : servers[0]?.name) : call.server;
  if (address === undefined || (address !== allServers && !servers.some(({ name }) => name === address)))
    return undefined;
  const { method, target, target_kind: targetKind, named_server: named } = call;
  if (target === null) return {};
  const kind = targetKind ?? undefined;
  const written = named === null ? target : `${named}${prefixSeparatorOf({ method, targetKind: kind })}${target}`;
  const request = { method, target: written, targetKind: kind };
  const own = ownName(request, namedServer(address, request, { servers, toolPrefix }));
  return own === undefined ? {} : { target: own };
}

function targetAtAgents(call: RecordedCall, { a2a }: Tenant): { readonly target?: string } | undefined {
  const { endpoints, defaultAgent = endpoints[0]?.name } = a2a;
  const target = namesNone(call) ? defaultAgent : call.server;
  return target !== undefined && endpoints.some(({ name }) => name === target) ? { target } : undefined;
}

function namesNone({ server, path }: RecordedCall): boolean {
  return server === allServers || unnamed.has(path.replace(/(?<=.)\/$/, "")) || path.startsWith("/.well-known/");
}
