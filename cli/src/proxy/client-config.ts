/** Clients whose configuration is known. */
export const clientNames = ["claude", "vscode", "cursor"] as const;
export type ClientName = (typeof clientNames)[number];

export interface ConfigQuestion {
  readonly env: NodeJS.ProcessEnv;
  /** The client starts the proxy itself and speaks to it by standard input and output. */
  readonly stdio: boolean;
}

/** What is to be pasted: into claude_desktop_config.json or .mcp.json, .vscode/mcp.json, or .cursor/mcp.json. Never a secret. */
export function clientConfig(client: ClientName, { env, stdio }: ConfigQuestion): string {
  const { HOST = "127.0.0.1", PORT = "8765" } = env;
  const server = stdio ? started(client, env) : { ...typeOf(client, "http"), url: `http://${HOST}:${PORT}/mcp` };
  const member = client === "vscode" ? "servers" : "mcpServers";
  return `${JSON.stringify({ [member]: { sluice: server } }, null, 2)}\n`;
}

/** Claude Desktop and Cursor tell the transport by what is there. */
function typeOf(client: ClientName, type: "http" | "stdio") {
  return client === "cursor" ? {} : { type };
}

function started(client: ClientName, env: NodeJS.ProcessEnv) {
  return {
    ...typeOf(client, "stdio"),
    command: "npx",
    args: ["sluice", "proxy", "--stdio"],
    env: {
      MCP_UPSTREAM_URL: env["MCP_UPSTREAM_URL"] ?? "https://mcp.example.com/mcp",
      MCP_API_KEY: env["MCP_API_KEY"] ?? "your-key-id",
      MCP_API_SECRET: "${file:/path/of/your/secret}",
    },
  };
}
