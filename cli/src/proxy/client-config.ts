import { existsSync } from "node:fs";
import { resolve } from "node:path";
import { ConfigError } from "@sluice/runtime";
import { settingsSchema } from "./settings.ts";

interface Client {
  readonly member: "mcpServers" | "servers";
  /** Whether entries name their transport. */
  readonly typed: boolean;
  /** Takes commands alone, and no URLs. */
  readonly stdioOnly?: true;
}

const clients = {
  /** claude_desktop_config.json */
  claude: { member: "mcpServers", typed: false, stdioOnly: true },
  /** .mcp.json */
  "claude-code": { member: "mcpServers", typed: true },
  /** .vscode/mcp.json */
  vscode: { member: "servers", typed: true },
  /** .cursor/mcp.json */
  cursor: { member: "mcpServers", typed: false },
} as const satisfies Record<string, Client>;

/** Clients whose configuration is known. */
export type ClientName = keyof typeof clients;
export const clientNames = Object.keys(clients) as readonly ClientName[];

export interface ConfigQuestion {
  readonly env: NodeJS.ProcessEnv;
  /** The client starts the proxy itself and speaks to it by standard input and output. */
  readonly stdio: boolean;
  /** What starts this program: clients know neither this directory nor the PATH of a shell. */
  readonly command: readonly [string, ...string[]];
}

/** What of the environment only listening needs. */
const listening = new Set(["HOST", "PORT", "ALLOWED_HOSTS", "ALLOWED_ORIGINS", "METRICS", "SSE_HEARTBEAT_MS"]);

/** What is to be pasted into a client's configuration. Never a secret. @throws ConfigError where it can't be told */
export function clientConfig(name: ClientName, { env, stdio, command }: ConfigQuestion): string {
  const client: Client = clients[name];
  const isStarted = stdio || client.stdioOnly === true;
  const type = client.typed ? { type: isStarted ? "stdio" : "http" } : {};
  const server = isStarted ? { ...type, ...started(env, command) } : { ...type, url: urlOf(env) };
  return `${JSON.stringify({ [client.member]: { sluice: server } }, null, 2)}\n`;
}

function urlOf(env: NodeJS.ProcessEnv): string {
  const { HOST, PORT } = settingsSchema.pick({ HOST: true, PORT: true }).safeParse(env).data ?? {};
  if (HOST === undefined || PORT === undefined || PORT === 0)
    throw new ConfigError("set HOST and PORT to what the client shall connect to");
  const host = HOST === "0.0.0.0" ? "127.0.0.1" : HOST === "::" ? "::1" : HOST;
  return `http://${host.includes(":") ? `[${host}]` : host}:${PORT}/mcp`;
}

function started(env: NodeJS.ProcessEnv, [command, ...args]: ConfigQuestion["command"]) {
  const said = Object.keys(settingsSchema.shape).filter((name) => !listening.has(name));
  const settings = Object.assign({}, ...said.map((name) => settingOf(name, env))) as Record<string, string>;
  const hasSecret = "MCP_API_SECRET" in settings || "MCP_API_SECRET_FILE" in settings;
  const examples = {
    MCP_UPSTREAM_URL: "https://mcp.example.com/mcp",
    MCP_API_KEY: "your-key-id",
    ...(!hasSecret && { MCP_API_SECRET_FILE: "/path/of/your/secret" }),
  };
  return { command, args: [...args, "proxy", "--stdio"], env: { ...examples, ...settings } };
}

/**
 * A setting as the client is to say it. A file is named by `NAME_FILE`, and absolutely: editors take `${file:…}` for a variable
 * of their own, and start the proxy elsewhere. What is no setting that could be used is left out, and so is a secret.
 */
function settingOf(name: string, env: NodeJS.ProcessEnv): Record<string, string> {
  const value = env[name];
  const file = env[`${name}_FILE`] ?? /^\$\{file:([^{}]+)\}$/.exec(value ?? "")?.[1];
  if (file !== undefined && !name.endsWith("_FILE")) return { [`${name}_FILE`]: resolve(file) };
  if (value === undefined || value === "") return {};
  if (/^\$\{(?:env|vault):[^{}]+\}$/.test(value)) return { [name]: value };
  if (name === "MCP_API_SECRET") return {};
  if (name.endsWith("_FILE")) return existsSync(value) ? { [name]: resolve(value) } : {};
  const schema = settingsSchema.shape[name as keyof typeof settingsSchema.shape];
  return schema.safeParse(value).success ? { [name]: value } : {};
}
