import { a2aRoutes, mcpRoutes, type HttpMethod, type Tenant } from "@sluice/contracts";
import type { Finding } from "./cross-check.ts";
import { nearest } from "./nearest-key.ts";

/** Routes that nobody can call, twice the same one, and methods that a path never had. */
export function checkRoutes({ mcp, routes }: Tenant): Finding[] {
  const known = knownRoutes(mcp.endpoints.map(({ name }) => name));
  const seen = new Set<string>();
  return routes.flatMap(({ path, methods }, index) => {
    const at = ["routes", index];
    const had = known.get(path);
    const isRepeated = seen.has(path);
    seen.add(path);
    if (isRepeated) return [{ path: [...at, "path"], reason: "another route of this tenant has this path already" }];
    if (had === undefined) return [{ path: [...at, "path"], reason: unknownPath(path, known.keys()) }];
    return methods.flatMap((method, number) =>
      had.includes(method)
        ? []
        : [{ path: [...at, "methods", number], reason: `${path} has no ${method}: it can be left ${had.join(", ")}` }],
    );
  });
}

function unknownPath(path: string, known: Iterable<string>): string {
  const meant = nearest(path, known);
  return `there is no such path${meant === undefined ? "" : `; did you mean ${meant}?`}`;
}

function knownRoutes(servers: readonly string[]): Map<string, readonly HttpMethod[]> {
  const known = new Map<string, readonly HttpMethod[]>();
  for (const [path, methods] of Object.entries({ ...mcpRoutes, ...a2aRoutes })) {
    if (path.includes(":server")) for (const server of servers) known.set(path.replace(":server", server), methods);
    else known.set(path, methods);
  }
  return known;
}
