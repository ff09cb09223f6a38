import { Client as ModernClient, StreamableHTTPClientTransport as ModernTransport } from "@modelcontextprotocol/client";
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import {
  CreateMessageRequestSchema,
  ElicitRequestSchema,
  ListRootsRequestSchema,
} from "@modelcontextprotocol/sdk/types.js";
import { startTestHouse, until, type TestHouse } from "@sluice/testing";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startEverything } from "./everything.ts";
import { startModernServer } from "./modern-server.ts";
import { send } from "./wire.ts";

const allowedTools = ["echo", "get-sum", "trigger-*"];
const rpcText = /Error POSTing to endpoint: (\{.*\})$/s;
const canary = "canary-7f3a9b-in-content";
let house: TestHouse;
const stack = new AsyncDisposableStack();

beforeAll(async () => {
  const [everything, modern] = [stack.use(await startEverything()), stack.use(await startModernServer())];
  house = stack.use(
    await startTestHouse({
      tenants: {
        acme: {
          agents: ["sentinel-1", "admin-1", "limited-1", "audited-1", "audited-2"],
          mcp: {
            endpoints: [
              { name: "everything", url: everything.url },
              { name: "modern", url: modern.url },
            ],
          },
          accessRules: [
            { agentPattern: "sentinel-*", allowedTools, deniedTools: ["trigger-sampling-request"] },
            { agentPattern: "admin-*", allowedTools: ["*"] },
            { agentPattern: "limited-*", allowedTools: ["*"] },
            { agentPattern: "audited-*", allowedTools: ["echo", "shout", "refuse", "count"] },
          ],
          limits: [
            { path: "/mcp/tools/call", tool: "get-sum", agentPattern: "limited-*", maxRequests: 2, windowSeconds: 3 },
          ],
        },
      },
    }),
  );
});
afterAll(() => stack.disposeAsync());

const urlOf = (server: string) => new URL(`${house.house.url}/mcp/${server}`);
const headersOf = (agent: string) => ({ requestInit: { headers: { "x-agent-api-key": house.key(agent) } } });
const textOf = (result: unknown) => (result as { content: { text: string }[] }).content[0]?.text;

async function classic(agent: string, client = new Client({ name: "test", version: "1" })) {
  const transport = new StreamableHTTPClientTransport(urlOf("everything"), headersOf(agent));
  await client.connect(transport as Parameters<Client["connect"]>[0]);
  return { client, transport, [Symbol.asyncDispose]: () => client.close() };
}

async function successor(agent: string, server: string, mode: "legacy" | "auto" | { pin: string }) {
  const client = new ModernClient({ name: "test", version: "1" }, { versionNegotiation: { mode } });
  const transport = new ModernTransport(urlOf(server), headersOf(agent));
  await client.connect(transport);
  return { client, transport, [Symbol.asyncDispose]: () => client.close() };
}

/** The JSON-RPC error that a client's error carries in its text. */
async function refusalOf(call: Promise<unknown>) {
  const error = await call.then(
    () => new Error("the call was not refused"),
    (thrown: unknown) => thrown as Error,
  );
  const json = rpcText.exec(error.message)?.[1];
  if (json === undefined) throw error;
  return (JSON.parse(json) as { error: { code: number; data: Record<string, unknown> } }).error;
}

const denied = (agent: string, tool: string, allowed: readonly string[]) => ({
  code: 1403,
  data: {
    error: "tool_access_denied",
    message: `Agent '${agent}' is not authorized to invoke tool '${tool}'`,
    allowedTools: allowed,
  },
});

/** What both generations of the client can do in the legacy era. */
const generations = [
  ["@modelcontextprotocol/sdk 1.x", () => classic("sentinel-1"), () => classic("limited-1")],
  [
    "@modelcontextprotocol/client 2.x, legacy era",
    () => successor("sentinel-1", "everything", "legacy"),
    () => successor("limited-1", "everything", "legacy"),
  ],
  [
    "@modelcontextprotocol/client 2.x, probing for the era",
    () => successor("sentinel-1", "everything", "auto"),
    () => successor("limited-1", "everything", "auto"),
  ],
] as const;

describe.each(generations)("%s against the everything server", (_name, connect, connectLimited) => {
  it("initializes, lists the allowed tools only and calls them (A12)", async () => {
    await using connected = await connect();
    const { client } = connected;
    expect(client.getServerVersion()?.name).toMatch(/everything/);
    const { tools } = await client.listTools();
    expect(tools.map(({ name }) => name).toSorted()).toEqual(["echo", "get-sum", "trigger-long-running-operation"]);
    expect(textOf(await client.callTool({ name: "echo", arguments: { message: "hello" } }))).toBe("Echo: hello");
    expect(textOf(await client.callTool({ name: "get-sum", arguments: { a: 2, b: 3 } }))).toContain("5");
  });

  it("raises an error with the body of the tool policy when denied, and stays usable (A12)", async () => {
    await using connected = await connect();
    const { client } = connected;
    expect(await refusalOf(client.callTool({ name: "get-env" }))).toMatchObject(
      denied("sentinel-1", "get-env", allowedTools),
    );
    expect(await refusalOf(client.callTool({ name: "trigger-sampling-request" }))).toMatchObject(
      denied("sentinel-1", "trigger-sampling-request", allowedTools),
    );
    expect(textOf(await client.callTool({ name: "echo", arguments: { message: "still" } }))).toBe("Echo: still");
  });

  it("raises an error with the time to wait when limited, stays usable, and may call again after that time", async () => {
    await using connected = await connectLimited();
    const { client } = connected;
    const sum = () => client.callTool({ name: "get-sum", arguments: { a: 1, b: 1 } });
    await until("a call within the limit", () =>
      sum().then(
        () => true,
        () => false,
      ),
    );
    const refused = await until("the limit", () => refusalOf(sum()).catch(() => undefined));
    expect(refused).toMatchObject({
      code: 1429,
      data: { error: "agent_rate_limited", agentId: "limited-1", retryAfterSeconds: expect.any(Number) },
    });
    expect(textOf(await client.callTool({ name: "echo", arguments: { message: "still" } }))).toBe("Echo: still");
    await until("the window to move on", () =>
      sum().then(
        () => true,
        () => false,
      ),
    );
  });

  it("gets progress over the event stream before the answer", async () => {
    await using connected = await connect();
    const progress: number[] = [];
    const call = { name: "trigger-long-running-operation", arguments: { duration: 0.3, steps: 3 } };
    const { client } = connected;
    const onprogress = ({ progress: step }: { progress: number }) => void progress.push(step);
    const result =
      client instanceof ModernClient
        ? await client.callTool(call, { onprogress })
        : await client.callTool(call, undefined, { onprogress });
    expect(progress).toEqual([1, 2, 3]);
    expect(textOf(result)).toContain("completed");
  });
});

describe("a legacy session through the gateway", () => {
  it("carries the server's own requests: sampling and elicitation on the stream of the call, roots on the GET stream", async () => {
    const client = new Client(
      { name: "test", version: "1" },
      { capabilities: { sampling: {}, elicitation: {}, roots: { listChanged: true } } },
    );
    const rootsAsked = Promise.withResolvers<void>();
    client.setRequestHandler(ListRootsRequestSchema, () => {
      rootsAsked.resolve();
      return { roots: [{ uri: "file:///workspace", name: "workspace" }] };
    });
    client.setRequestHandler(CreateMessageRequestSchema, ({ params }) => ({
      model: "test-model",
      role: "assistant",
      content: { type: "text", text: `sampled ${params.maxTokens}` },
    }));
    client.setRequestHandler(ElicitRequestSchema, () => ({ action: "accept", content: { name: "Ada" } }));
    await using connected = await classic("admin-1", client);
    await rootsAsked.promise;
    const { tools } = await connected.client.listTools();
    expect(tools.map(({ name }) => name)).toEqual(
      expect.arrayContaining(["trigger-sampling-request", "trigger-elicitation-request"]),
    );
    const sampled = await client.callTool({
      name: "trigger-sampling-request",
      arguments: { prompt: "say", maxTokens: 7 },
    });
    expect(textOf(sampled)).toContain("sampled 7");
    expect(JSON.stringify(await client.callTool({ name: "trigger-elicitation-request" }))).toContain("Ada");
    expect(JSON.stringify(await client.callTool({ name: "get-roots-list" }))).toContain("file:///workspace");
  });

  it("ends with DELETE: afterwards its id is unknown (A19)", async () => {
    const { client, transport } = await classic("admin-1");
    const session = transport.sessionId ?? "";
    await transport.terminateSession();
    await client.close();
    const answer = await send({
      url: urlOf("everything").href,
      key: house.key("admin-1"),
      headers: { "mcp-session-id": session, "mcp-protocol-version": "2025-11-25" },
      body: { jsonrpc: "2.0", id: 1, method: "tools/list" },
    });
    expect(answer.status).toBe(404);
    expect(JSON.parse(answer.body.toString())).toMatchObject({ error: { data: { error: "session_not_found" } } });
  });
});

describe.each([
  ["pinned to 2026-07-28", { pin: "2026-07-28" }],
  ["probing for the era", "auto"],
] as const)("@modelcontextprotocol/client 2.x %s against a modern server", (_name, mode) => {
  it("discovers, lists the allowed tools only, calls them and gets progress (A12)", async () => {
    await using connected = await successor("audited-2", "modern", mode);
    const { client } = connected;
    expect((await client.listTools()).tools.map(({ name }) => name).toSorted()).toEqual(["count", "refuse", "shout"]);
    expect(textOf(await client.callTool({ name: "shout", arguments: { text: "loud" } }))).toBe("LOUD");
    expect(await client.callTool({ name: "refuse", arguments: {} })).toMatchObject({ isError: true });
    const progress: number[] = [];
    const counted = await client.callTool(
      { name: "count", arguments: { to: 5 } },
      { onprogress: ({ progress: step }) => void progress.push(step) },
    );
    expect(progress).toEqual([1, 2, 3, 4, 5]);
    expect(textOf(counted)).toBe("counted to 5");
  });

  it("raises an error with the body of the tool policy when denied, and stays usable (A12)", async () => {
    await using connected = await successor("audited-2", "modern", mode);
    const { client } = connected;
    const allowed = ["echo", "shout", "refuse", "count"];
    expect(await refusalOf(client.callTool({ name: "forbidden", arguments: {} }))).toMatchObject(
      denied("audited-2", "forbidden", allowed),
    );
    expect(textOf(await client.callTool({ name: "shout", arguments: { text: "still" } }))).toBe("STILL");
  });
});

describe("the audit trail of official clients", () => {
  it("has one intent and one outcome per call, with who, what, how it ended and why, and never content (A31)", async () => {
    await using modern = await successor("audited-1", "modern", { pin: "2026-07-28" });
    await using legacy = await classic("audited-1");
    await legacy.client.callTool({ name: "echo", arguments: { message: canary } });
    await modern.client.callTool({ name: "refuse", arguments: {} });
    await modern.client.callTool({ name: "shout", arguments: { text: canary } });
    await refusalOf(legacy.client.callTool({ name: "get-env", arguments: { canary } }));
    const calls = await until("four outcomes", async () => {
      const rows = await house.query(
        `select target, label, tenant, agent_id, era, server, decision, rule, fault, status, is_error, state from audit_calls
         where agent_id = 'audited-1' and method = 'tools/call' order by at`,
      );
      return rows.length === 4 && rows.every(({ state }) => state === "done") && rows;
    });
    const common = {
      label: "mcp_proxy",
      tenant: "acme",
      agent_id: "audited-1",
      state: "done",
      fault: null,
      status: 200,
      decision: "allow",
    };
    const legacyCall = { ...common, era: "legacy", server: "everything", is_error: false };
    const modernCall = { ...common, era: "modern", server: "modern", is_error: false };
    expect(calls).toEqual([
      { ...legacyCall, target: "echo", rule: "accessRules[3].allowedTools[0]" },
      { ...modernCall, target: "refuse", rule: "accessRules[3].allowedTools[2]", is_error: true },
      { ...modernCall, target: "shout", rule: "accessRules[3].allowedTools[1]" },
      {
        ...legacyCall,
        target: "get-env",
        decision: "deny",
        rule: "default-deny",
        fault: "tool_access_denied",
        status: 403,
        is_error: null,
      },
    ]);
    const [counts] = await house.query(
      `select count(*) filter (where kind = 'intent')::int as intents, count(*) filter (where kind = 'outcome')::int as outcomes
       from audit_events where call in (select call from audit_calls where agent_id = 'audited-1' and method = 'tools/call')`,
    );
    expect(counts).toEqual({ intents: 4, outcomes: 4 });
    expect(await house.stored()).not.toContain(canary);
    expect(await house.logs()).not.toContain(canary);
  });
});
