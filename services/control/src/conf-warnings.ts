import { compilePattern, type Conf } from "@sluice/contracts";
import type { Finding } from "./cross-check.ts";

/** What is valid and yet most likely not what was meant. */
export function warningsOf(conf: Conf): Finding[] {
  return Object.entries(conf.tenants).flatMap(([name, tenant]) => {
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
  });
}
