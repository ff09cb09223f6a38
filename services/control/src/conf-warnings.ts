import { compilePattern, type Conf, type Tenant } from "@sluice/contracts";
import type { Finding } from "./cross-check.ts";

/** What is valid and yet most likely not what was meant. */
export function warningsOf(conf: Conf): Finding[] {
  return Object.entries(conf.tenants).flatMap(([name, tenant]) => [
    ...patternWarnings(name, tenant),
    ...sizeWarnings(name, tenant),
  ]);
}

function sizeWarnings(name: string, { settings, mcp, a2a }: Tenant): Finding[] {
  const most = settings.max_payload_bytes;
  return Object.entries({ mcp, a2a }).flatMap(([protocol, { endpoints }]) =>
    endpoints.flatMap(({ maxPayloadBytes = 0 }, index) =>
      maxPayloadBytes <= most
        ? []
        : [
            {
              path: ["tenants", name, protocol, "endpoints", index, "maxPayloadBytes"],
              reason: `has no effect: max_payload_bytes of this tenant is ${most}`,
            },
          ],
    ),
  );
}

function patternWarnings(name: string, tenant: Tenant): Finding[] {
  const ids = tenant.agents.map((agent) => agent.id);
  return (["accessRules", "limits"] as const).flatMap((kind) =>
    tenant[kind].flatMap(({ agentPattern }, index) =>
      agentPattern === "*" || ids.some(compilePattern(agentPattern))
        ? []
        : [
            {
              path: ["tenants", name, kind, index, "agentPattern"],
              reason: `${agentPattern} fits no agent of this tenant`,
            },
          ],
    ),
  );
}
