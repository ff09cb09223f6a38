import { a2aRoutes, mcpRoutes, type HttpMethod, type Tenant } from "@sluice/contracts";
import type { Finding } from "./cross-check.ts";
import { nearest } from "./nearest-key.ts";

/** Routes that nobody can call, twice the same one, and methods that a path never had. */
export function checkRoutes({ mcp, a2a, routes }: Tenant): Finding[] {
  const known = knownRoutes({ mcp, a2a });
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

/** The paths that this tenant's agents can call; what is behind an address counts as the address. */
function knownRoutes({ mcp, a2a }: Pick<Tenant, "mcp" | "a2a">): Map<string, readonly HttpMethod[]> {
  const known = new Map<string, readonly HttpMethod[]>();
  const names = { ":server": mcp.endpoints, ":agent": a2a.endpoints };
  for (const [route, methods] of Object.entries({ ...mcpRoutes, ...a2aRoutes })) {
    const path = route.replace(/\/\*$/, "");
    const placeholder = ([":server", ":agent"] as const).find((one) => path.includes(`/${one}`));
    const paths =
      placeholder === undefined ? [path] : names[placeholder].map(({ name }) => path.replace(placeholder, name));
    for (const one of paths) known.set(one, [...new Set([...(known.get(one) ?? []), ...methods])]);
  }
  return known;
}
