import { compilePattern, type Conf, type Tenant } from "@sluice/contracts";
import type { Finding } from "./cross-check.ts";

/** What is valid and yet most likely not what was meant. */
export function warningsOf(conf: Conf): Finding[] {
  return Object.entries(conf.tenants).flatMap(([name, tenant]) =>
    [
      ...strangers(tenant),
      ...strangeAgents(tenant),
      ...hiddenCards(conf, name, tenant),
      ...sharedServers(tenant),
      ...oversizes(tenant),
    ].map(({ path, reason }) => ({ path: ["tenants", name, ...path], reason })),
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

/** Rules about agents behind the gateway that are none. */
function strangeAgents({ a2a, accessRules }: Tenant): Finding[] {
  const names = a2a.endpoints.map(({ name }) => name);
  return accessRules.flatMap((rule, index) =>
    (["allowedAgents", "deniedAgents"] as const).flatMap((member) =>
      (rule[member] ?? []).flatMap((pattern, at) =>
        pattern === "*" || names.some(compilePattern(pattern))
          ? []
          : [
              {
                path: ["accessRules", index, member, at],
                reason: `${pattern} fits no name of a2a.endpoints: these rules are about agents that are called`,
              },
            ],
      ),
    ),
  );
}

/** Who does not say who he is cannot be told whose agent he means. */
function hiddenCards({ tenants }: Conf, own: string, { a2a }: Tenant): Finding[] {
  return a2a.endpoints.flatMap(({ name, publicCard }, index) => {
    const other = Object.entries(tenants).find(
      ([tenant, there]) => tenant !== own && there.a2a.endpoints.some((endpoint) => endpoint.name === name),
    );
    if (!publicCard || other === undefined) return [];
    const reason = `tenant ${other[0]} has an agent of this name too: its card is shown only to who says who he is`;
    return [{ path: ["a2a", "endpoints", index, "name"], reason }];
  });
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
