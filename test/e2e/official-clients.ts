import { Client as ModernClient, StreamableHTTPClientTransport as ModernTransport } from "@modelcontextprotocol/client";
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import {
  CreateMessageRequestSchema,
  ElicitRequestSchema,
  ListRootsRequestSchema,
} from "@modelcontextprotocol/sdk/types.js";

/** The one thing that the tests do with either generation of the official client, whatever its types. */
export interface OfficialClient extends AsyncDisposable {
  readonly listTools: () => Promise<{ tools: { name: string }[]; _meta?: unknown }>;
  readonly callTool: (
    name: string,
    args?: Record<string, unknown>,
    onProgress?: (step: number) => void,
  ) => Promise<string>;
  readonly legacy?: Client;
  readonly modern?: ModernClient;
}

const capabilities = { sampling: {}, elicitation: { form: {} }, roots: {} };
const sampled = {
  model: "test-model",
  role: "assistant" as const,
  content: { type: "text" as const, text: "sampled" },
};
const filled = {
  action: "accept" as const,
  content: { username: "Ada", email: "ada@example.com", name: "Ada", ok: true },
};
const roots = { roots: [{ uri: "file:///workspace", name: "workspace" }] };
const textOf = (result: unknown) =>
  (result as { content: { text: string }[] }).content.map(({ text }) => text).join("\n");

const keyHeaders = (key: string | undefined): Record<string, string> =>
  key === undefined ? {} : { "x-agent-api-key": key };

/** The 1.x client, which speaks the legacy era alone, and can be asked everything. */
export async function legacyClient(url: string, key?: string): Promise<OfficialClient> {
  const client = new Client(
    { name: "legacy-test", version: "1" },
    { capabilities: { ...capabilities, elicitation: {} } },
  );
  client.setRequestHandler(CreateMessageRequestSchema, () => sampled);
  client.setRequestHandler(ElicitRequestSchema, () => filled);
  client.setRequestHandler(ListRootsRequestSchema, () => roots);
  const transport = new StreamableHTTPClientTransport(new URL(url), { requestInit: { headers: keyHeaders(key) } });
  await client.connect(transport as Parameters<Client["connect"]>[0]);
  return {
    legacy: client,
    listTools: () => client.listTools(),
    callTool: async (name, args = {}, onProgress) =>
      textOf(
        await client.callTool({ name, arguments: args }, undefined, {
          onprogress: ({ progress }) => onProgress?.(progress),
        }),
      ),
    [Symbol.asyncDispose]: () => client.close(),
  };
}

/** The 2.x client, held to the modern era; it can be asked everything. */
export async function modernClient(url: string, key?: string): Promise<OfficialClient> {
  const client = new ModernClient(
    { name: "modern-test", version: "1" },
    { capabilities, versionNegotiation: { mode: { pin: "2026-07-28" } } },
  );
  client.setRequestHandler("sampling/createMessage", () => sampled);
  client.setRequestHandler("elicitation/create", () => filled);
  client.setRequestHandler("roots/list", () => roots);
  const headers = keyHeaders(key);
  await client.connect(new ModernTransport(new URL(url), { requestInit: { headers } }));
  return {
    modern: client,
    listTools: () => client.listTools(),
    callTool: async (name, args = {}, onProgress) =>
      textOf(
        await client.callTool({ name, arguments: args }, { onprogress: ({ progress }) => onProgress?.(progress) }),
      ),
    [Symbol.asyncDispose]: () => client.close(),
  };
}
