import { compilePattern, type Conf, type Tenant } from "@sluice/contracts";
import type { Finding } from "./cross-check.ts";

/** What is valid and yet most likely not what was meant. */
export function warningsOf(conf: Conf): Finding[] {
  return Object.entries(conf.tenants).flatMap(([name, tenant]) =>
    [...strangers(tenant), ...sharedServers(tenant), ...oversizes(tenant)].map(({ path, reason }) => ({
      path: ["tenants", name, ...path],
      reason,
    })),
  );
}

function oversizes({ settings, mcp, a2a }: Tenant): Finding[] {
  const most = settings.max_payload_bytes;
  return Object.entries({ mcp, a2a }).flatMap(([protocol, { endpoints }]) =>
    endpoints.flatMap(({ maxPayloadBytes = 0 }, index) =>
      maxPayloadBytes <= most
        ? []
        : [
            {
              path: [protocol, "endpoints", index, "maxPayloadBytes"],
              reason: `has no effect: max_payload_bytes of this tenant is ${most}`,
            },
          ],
    ),
  );
}

function strangers(tenant: Tenant): Finding[] {
  const ids = tenant.agents.map((agent) => agent.id);
  return (["accessRules", "limits"] as const).flatMap((kind) =>
    tenant[kind].flatMap(({ agentPattern }, index) =>
      agentPattern === "*" || ids.some(compilePattern(agentPattern))
        ? []
        : [{ path: [kind, index, "agentPattern"], reason: `${agentPattern} fits no agent of this tenant` }],
    ),
  );
}

/** At the address of all servers only a prefix says which one a call goes to. */
function sharedServers({ mcp, limits }: Tenant): Finding[] {
  if (mcp.endpoints.length < 2 || mcp.toolPrefix === "always") return [];
  return limits.flatMap(({ path, server }, index) =>
    server === undefined || server === "*" || !path.startsWith("/mcp/")
      ? []
      : [
          {
            path: ["limits", index, "server"],
            reason:
              "counts calls at /mcp without a prefix too, whatever server has them; with toolPrefix: always it is exact",
          },
        ],
  );
}
