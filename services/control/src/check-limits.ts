import { compilePattern, type Limit, type Tenant } from "@sluice/contracts";
import type { Finding } from "./cross-check.ts";
import { pathRefusal } from "./limit-paths.ts";

/** Limits that would count nothing, and names that stand for two; paths are those within the list of limits. */
export function checkLimits(tenant: Tenant): Finding[] {
  const namesIn = ({ endpoints }: { endpoints: readonly { name: string }[] }) => endpoints.map(({ name }) => name);
  const [servers, agents] = [namesIn(tenant.mcp), namesIn(tenant.a2a)];
  const named = new Set<string>();
  return tenant.limits.flatMap((limit, index) => {
    const isTaken = limit.name !== undefined && named.has(limit.name);
    if (limit.name !== undefined) named.add(limit.name);
    return [
      ...finding([index, "path"], pathRefusal(limit.path)),
      ...finding([index, "server"], serverRefusal(limit, isOfA2a(limit) ? agents : servers)),
      ...finding([index, "tool"], toolRefusal(limit)),
      ...finding([index, "name"], isTaken ? "another limit of this tenant has this name already" : undefined),
    ];
  });
}

function finding(path: readonly PropertyKey[], reason: string | undefined): Finding[] {
  return reason === undefined ? [] : [{ path, reason }];
}

function serverRefusal({ server }: Limit, endpoints: readonly string[]): string | undefined {
  if (server === undefined || endpoints.some(compilePattern(server))) return undefined;
  return `${server} fits no endpoint of this tenant, so the limit would count nothing`;
}

function toolRefusal(limit: Limit): string | undefined {
  if (limit.tool === undefined || !isOfA2a(limit)) return undefined;
  return "agents have no tools, so the limit would count nothing";
}

function isOfA2a({ path }: Limit): boolean {
  return path.startsWith("/a2a/");
}
