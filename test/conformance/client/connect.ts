import { Client, StreamableHTTPClientTransport } from "@modelcontextprotocol/client";
import { Client as ClassicClient } from "@modelcontextprotocol/sdk/client/index.js";
import { StreamableHTTPClientTransport as ClassicTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import { ElicitRequestSchema } from "@modelcontextprotocol/sdk/types.js";
import type { SuiteName } from "../suites.ts";

export interface Destination {
  readonly url: URL;
  readonly headers: Readonly<Record<string, string>>;
  readonly suite: SuiteName;
}

export interface ConnectOptions {
  readonly capabilities: NonNullable<ConstructorParameters<typeof Client>[1]>["capabilities"];
  /** What the user says to every question. */
  readonly content: Readonly<Record<string, string | number | boolean>>;
  /** Some servers of the suite cannot be discovered: the answer comes from here then. */
  readonly discovered: boolean;
}

const info = { name: "conformance-client", version: "1.0.0" };

/** A client of the official SDK of the suite's era: 1.x for 0.1.16, 2.x for the others. */
export async function connect({ url, headers, suite }: Destination, options: ConnectOptions) {
  const mode = suite === "2026-07-28" ? "auto" : "legacy";
  const client = new Client(info, { capabilities: options.capabilities ?? {}, versionNegotiation: { mode } });
  if (options.capabilities?.elicitation !== undefined) {
    client.setRequestHandler("elicitation/create", () => ({ action: "accept", content: { ...options.content } }));
  }
  const transport = { requestInit: { headers }, ...(options.discovered && { fetch: discover }) };
  await client.connect(new StreamableHTTPClientTransport(url, transport));
  return client;
}

export async function connectClassic({ url, headers }: Destination, { capabilities, content }: ConnectOptions) {
  const client = new ClassicClient(info, { capabilities: capabilities ?? {} });
  if (capabilities?.elicitation !== undefined) {
    client.setRequestHandler(ElicitRequestSchema, () => ({ action: "accept", content: { ...content } }));
  }
  const transport = new ClassicTransport(url, { requestInit: { headers } });
  await client.connect(transport as Parameters<ClassicClient["connect"]>[0]);
  return client;
}

const discover: typeof fetch = (input, init) => {
  const message = typeof init?.body === "string" ? (JSON.parse(init.body) as { id?: unknown; method?: string }) : {};
  if (message.method !== "server/discover") return fetch(input, init);
  const result = {
    resultType: "complete",
    supportedVersions: ["2026-07-28"],
    capabilities: { tools: {}, resources: {}, prompts: {} },
    ttlMs: 0,
    cacheScope: "private",
  };
  return Promise.resolve(Response.json({ jsonrpc: "2.0", id: message.id, result }));
};
