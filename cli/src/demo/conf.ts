import { stringify } from "yaml";

/** The agents of seed 001. */
export const demoAgents = [
  { id: "sentinel-1", name: "Sentinel", owner: "security" },
  { id: "alchemy-1", name: "Alchemy", owner: "media" },
  { id: "admin-1", name: "Admin", owner: "platform" },
] as const;

export const demoTenant = "demo";
/** The endpoint that is the demo upstream. */
export const demoServer = "everything";
/** How the reference to the secret that the demo signs with is written, wherever the file lies. */
export const signingSecretFile = /\$\{file:[^}]*demo-signing-secret\}/g;

export interface DemoConf {
  readonly port: number;
  /** Agent id → `sha256:<hex>` of its key. */
  readonly hashes: Readonly<Record<string, string>>;
  readonly secretFile: string;
}

/** `tenants.yaml` of the demo: the rules and limits of seed 001, with the tools that the everything server has. */
export function demoTenantsYaml({ port, hashes, secretFile }: DemoConf): string {
  const conf = {
    tenants: {
      [demoTenant]: {
        settings: { mcp_enabled: true },
        authentication: [{ type: "apiKey", headerName: "x-agent-api-key" }],
        agents: demoAgents.map((agent) => ({ ...agent, apiKeys: [hashes[agent.id]] })),
        mcp: {
          endpoints: [
            {
              name: demoServer,
              url: `http://127.0.0.1:${port}/mcp`,
              signing: { keyId: "sluice-demo", secret: `\${file:${secretFile}}` },
            },
          ],
        },
        accessRules: [
          {
            agentPattern: "sentinel-*",
            allowedTools: ["echo", "get-sum", "get-structured-content", "trigger-long-running-operation"],
            deniedTools: ["get-env", "gzip-*"],
          },
          {
            agentPattern: "alchemy-*",
            allowedTools: ["get-tiny-image", "get-annotated-message", "get-resource-*"],
            deniedTools: ["get-resource-links"],
          },
          { agentPattern: "admin-*", allowedTools: ["*"] },
        ],
        limits: [{ path: "/mcp/tools/call", maxRequests: 60, windowSeconds: 60, burstAllowance: 10 }],
      },
    },
  };
  return `# The demo's configuration, yours to edit: changes are in force within seconds and stay. Where this file is missing at a
# start, it is made anew. Only the port in the url of "${demoServer}" is the demo's own, and changes where another program has it.
${stringify(conf)}`;
}
