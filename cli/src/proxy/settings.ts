import { existsSync, readFileSync } from "node:fs";
import { parseEnv } from "node:util";
import { flag, integer, list, oneOf, pemFile, ConfigError } from "@sluice/runtime";
import { weakSecretReason } from "@sluice/signing";
import { z } from "zod";

const upstreamUrl = z
  .url({ protocol: /^https?$/, error: "must be an http:// or https:// URL, such as https://mcp.example.com/mcp" })
  .refine((text) => !hasCredentials(text), "must hold no user name or password: what signs is MCP_API_SECRET");

const secret = z.string().superRefine((text, context) => {
  const reason = weakSecretReason(text);
  if (reason !== undefined) context.addIssue({ code: "custom", message: reason });
});

/** What `sluice proxy` reads from the environment; `described` says it to people. */
export const settingsSchema = z.object({
  MCP_UPSTREAM_URL: upstreamUrl,
  MCP_API_KEY: z.string().regex(/^[\x21-\x7e]{1,256}$/, "must be 1 to 256 visible ASCII characters without spaces"),
  MCP_API_SECRET: secret,
  SIGNING_MODE: oneOf(["auth-gateway", "strict"]).default("auth-gateway"),
  HOST: z.string().min(1).default("127.0.0.1"),
  PORT: integer(0, 65_535).default(8_765),
  ALLOWED_HOSTS: list.default([]),
  ALLOWED_ORIGINS: list.default([]),
  FORWARD_HEADERS: list.default([]),
  UPSTREAM_CONNECT_TIMEOUT_MS: integer(100, 600_000).default(10_000),
  UPSTREAM_RESPONSE_TIMEOUT_MS: integer(0, 86_400_000).default(300_000),
  UPSTREAM_IDLE_TIMEOUT_MS: integer(0, 86_400_000).default(300_000),
  UPSTREAM_CA_FILE: pemFile,
  UPSTREAM_CERT_FILE: pemFile,
  UPSTREAM_KEY_FILE: pemFile,
  MAX_BODY_BYTES: integer(1_024, 1_073_741_824).default(33_554_432),
  SSE_HEARTBEAT_MS: integer(100, 600_000).default(15_000),
  LOG_LEVEL: oneOf(["trace", "debug", "info", "warn", "error", "fatal"]).default("info"),
  METRICS: flag.default(false),
  SHUTDOWN_DEADLINE_MS: integer(100, 3_600_000).default(10_000),
});
export type Settings = z.infer<typeof settingsSchema>;

/** Of each setting what `--help` says of it. */
const described: Readonly<Record<keyof Settings, string>> = {
  MCP_UPSTREAM_URL: "the MCP endpoint behind, such as https://mcp.example.com/mcp (required)",
  MCP_API_KEY: "sent as x-api-key-id (required)",
  MCP_API_SECRET: "what requests are signed with (required)",
  SIGNING_MODE: "auth-gateway, or strict, which covers query and body too",
  HOST: "address to listen on",
  PORT: "port to listen on; 0 takes any",
  ALLOWED_HOSTS: "values of Host that are served beside loopback names, with commas between",
  ALLOWED_ORIGINS: "origins of web pages that may call, beside those of this machine",
  FORWARD_HEADERS: "of the client's credentials what goes on all the same, such as authorization",
  UPSTREAM_CONNECT_TIMEOUT_MS: "for a connection",
  UPSTREAM_RESPONSE_TIMEOUT_MS: "until an answer begins; 0 for no bound",
  UPSTREAM_IDLE_TIMEOUT_MS: "silence within an answer that is no event stream; 0 for no bound",
  UPSTREAM_CA_FILE: "PEM file of the authorities that the upstream's certificate is checked against",
  UPSTREAM_CERT_FILE: "PEM file of a client certificate",
  UPSTREAM_KEY_FILE: "and of its key",
  MAX_BODY_BYTES: "of a request",
  SSE_HEARTBEAT_MS: "between two heartbeats where the upstream does not stream",
  LOG_LEVEL: "trace, debug, info, warn, error or fatal",
  METRICS: "true serves /metrics",
  SHUTDOWN_DEADLINE_MS: "for calls under way at the stop",
};

/** A line for each setting, with its default. */
export function settingsHelp(): string {
  const width = Math.max(...Object.keys(described).map((name) => name.length));
  const lines = Object.entries(described).map(([name, what]) => {
    const standard = settingsSchema.shape[name as keyof Settings].safeParse(undefined).data;
    const shown = standard === undefined || String(standard) === "" ? "" : ` [${String(standard)}]`;
    return `  ${name.padEnd(width)}  ${what}${shown}`;
  });
  return lines.join("\n");
}

/** The environment, and under it what the file says; the one in the working directory may be missing. @throws ConfigError */
export function environmentWith(file: string | undefined, env: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  const path = file ?? ".env";
  if (file === undefined && !existsSync(path)) return env;
  try {
    return { ...parseEnv(readFileSync(path, "utf8")), ...env };
  } catch (error) {
    throw new ConfigError(`${path} can't be read: ${(error as NodeJS.ErrnoException).code ?? "it is no text"}`);
  }
}

function hasCredentials(text: string): boolean {
  const { username, password } = URL.parse(text) ?? {};
  return Boolean(username) || Boolean(password);
}
