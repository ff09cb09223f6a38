import { answerJson, FakeUpstream, startTestHouse, until, type ReceivedRequest, type TestHouse } from "@sluice/testing";
import { freePort } from "@sluice/launcher";
import type { ServerResponse } from "node:http";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startFixture } from "../conformance/fixtures/fixture.ts";
import { startShim } from "../conformance/shim.ts";
import { startEverything } from "./everything.ts";
import { legacyClient, modernClient } from "./official-clients.ts";
import { startOldSseServer } from "./old-sse-server.ts";
import { call, legacyHeaders, send } from "./wire.ts";

const stack = new AsyncDisposableStack();
let house: TestHouse;
let plain: PlainServer;

/** A legacy server of tools alone: no GET stream, sessions that can be forgotten, two tools with common names. */
class PlainServer {
  readonly sessions = new Set<string>();
  readonly calls: string[] = [];
  upstream!: FakeUpstream;
  tools = ["echo", "only_plain", "everything_trap"];

  readonly answer = ({ method, headers, message }: ReceivedRequest, response: ServerResponse): void => {
    const session = String(headers["mcp-session-id"] ?? "");
    if (method === "DELETE") return void response.writeHead(this.sessions.delete(session) ? 200 : 404).end();
    if (method !== "POST") return void response.writeHead(405).end();
    if (message?.method === "server/discover") return void response.writeHead(400).end();
    const reply = (result: unknown, extra = {}) =>
      answerJson(response, { jsonrpc: "2.0", id: message?.id, result }, extra);
    if (message?.method === "initialize") {
      const id = `plain-${this.sessions.size}-${Date.now()}`;
      this.sessions.add(id);
      const serverInfo = { name: "plain", version: "1" };
      return reply(
        { protocolVersion: "2025-06-18", capabilities: { tools: {} }, serverInfo },
        { "mcp-session-id": id },
      );
    }
    if (!this.sessions.has(session)) return void response.writeHead(404).end();
    if (message?.id === undefined) return void response.writeHead(202).end();
    if (message.method === "tools/list")
      return reply({
        tools: this.tools.map((name) => ({
          name,
          inputSchema: { type: "object" },
          "x-unknown": 12345678901234567890n.toString(),
        })),
      });
    const name = String(message.params?.["name"]);
    this.calls.push(name);
    return reply({ content: [{ type: "text", text: `plain ${name}` }] });
  };
}

beforeAll(async () => {
  plain = new PlainServer();
  plain.upstream = stack.use(await FakeUpstream.start(plain.answer));
  const slow = stack.use(await FakeUpstream.start(() => {}));
  plain.upstream.speaksModern = slow.speaksModern = false;
  const everything = stack.use(await startEverything());
  const old = stack.use(await startOldSseServer());
  const modern = stack.use(await startFixture("modern"));
  const endpoints = [
    { name: "everything", url: everything.url },
    { name: "plain", url: plain.upstream.url },
    { name: "ancient", url: old.url },
    { name: "modern", url: modern.url },
    { name: "dead", url: `http://127.0.0.1:${await freePort()}/mcp` },
  ];
  const accessRules = [
    { agentPattern: "admin-*", allowedTools: ["*"] },
    { agentPattern: "narrow-*", allowedTools: ["*"], deniedTools: ["echo", "test_simple_text"] },
  ];
  const tenant = { agents: ["admin-1", "admin-legacy", "admin-modern", "narrow-1"], accessRules };
  const few = endpoints.slice(0, 2);
  house = stack.use(
    await startTestHouse({
      replicas: { ingress: 2, egress: 2 },
      tenants: {
        acme: { ...tenant, mcp: { endpoints: [...endpoints, { name: "slow", url: slow.url }] } },
        always: { ...tenant, mcp: { toolPrefix: "always", endpoints: few } },
        never: { ...tenant, mcp: { toolPrefix: "never", endpoints: few } },
      },
    }),
  );
});
afterAll(() => stack.disposeAsync());

async function balanced(agent = "admin-1", tenant = "acme"): Promise<string> {
  let turn = 0;
  const targets = house.house.of("ingress").map(({ url }) => url ?? "");
  return stack.use(
    await startShim({
      next: () => new URL("/mcp", targets[turn++ % targets.length]),
      headers: ["x-agent-api-key", house.key(agent, tenant)],
    }),
  ).url;
}

const namesOf = async ({ listTools }: { listTools: () => Promise<{ tools: { name: string }[] }> }) =>
  (await listTools()).tools.map(({ name }) => name);

describe.each([
  ["a legacy client", legacyClient],
  ["a modern client", modernClient],
] as const)("%s sees the servers of a tenant as one", (_name, connect) => {
  it("lists what answers and says what does not; names that collide carry their server's", async () => {
    await using client = await connect(await balanced());
    const { tools, _meta } = await client.listTools();
    const names = tools.map(({ name }) => name);
    expect(names).toEqual(
      expect.arrayContaining([
        "everything_echo",
        "plain_echo",
        "only_plain",
        "old_shout",
        "test_simple_text",
        "get-sum",
      ]),
    );
    expect(names).not.toContain("echo");
    expect(names).toContain("plain_everything_trap");
    expect(new Set(names).size).toBe(names.length);
    expect(_meta).toMatchObject({
      "sluice/upstreams": {
        everything: "ok",
        plain: "ok",
        ancient: "ok",
        modern: "ok",
        dead: "unavailable",
        slow: "unavailable",
      },
    });
  });

  it("calls each server by the name it was shown, and is asked by it", async () => {
    await using client = await connect(await balanced());
    expect(await client.callTool("everything_echo", { message: "hi" })).toBe("Echo: hi");
    expect(await client.callTool("plain_echo")).toBe("plain echo");
    expect(await client.callTool("only_plain")).toBe("plain only_plain");
    expect(await client.callTool("plain_everything_trap")).toBe("plain everything_trap");
    expect(await client.callTool("old_ask")).toContain("sampled");
    expect(await client.callTool("test_sampling", { prompt: "say" })).toContain("sampled");
    expect(await client.callTool("trigger-sampling-request", { prompt: "say", maxTokens: 5 })).toContain("sampled");
    await expect(client.callTool("no-such-tool")).rejects.toThrow(/Unknown tool: no-such-tool/);
    await expect(client.callTool("echo")).rejects.toThrow(/Unknown tool: echo/);
  });

  it("leaves in the audit trail which server each of its calls acted on", async () => {
    const agent = connect === legacyClient ? "admin-legacy" : "admin-modern";
    await using client = await connect(await balanced(agent));
    await client.callTool("everything_echo", { message: "hi" });
    await client.callTool("only_plain");
    expect(await client.callTool("old_ask")).toContain("sampled");
    await expect(client.callTool("echo")).rejects.toThrow(/Unknown tool: echo/);
    await client.listTools();
    const expected = ["ancient/old_ask", "everything/echo", "none/echo", "none/tools/list", "plain/only_plain"];
    let found: string[] = [];
    await until("the outcomes", async () => {
      const rows = await house.query<{ said: string }>(
        `select distinct coalesce(upstream, 'none') || '/' || coalesce(target, method) as said from audit_calls
         where state = 'done' and server = '*' and agent_id = $1 and method in ('tools/call', 'tools/list')`,
        [agent],
      );
      found = rows.map(({ said }) => said).toSorted();
      return found.length >= expected.length;
    });
    expect(found).toEqual(expected);
    const replicas = house.house.of("egress").map(async ({ health }) => (await fetch(`${health}/metrics`)).text());
    const metrics = (await Promise.all(replicas)).join("\n");
    expect(metrics).toContain('sluice_upstream_calls_total{tenant="acme",server="ancient",status="200"');
  });

  it("is held to rules about what the servers themselves call their tools (A12)", async () => {
    await using client = await connect(await balanced("narrow-1"));
    const names = await namesOf(client);
    expect(names.filter((name) => /echo$|test_simple_text/.test(name))).toEqual([]);
    await expect(client.callTool("plain_echo")).rejects.toThrow(/not authorized/);
    await expect(client.callTool("everything_echo")).rejects.toThrow(/not authorized/);
    await expect(client.callTool("test_simple_text")).rejects.toThrow(/not authorized/);
    expect(plain.calls.filter((name) => name === "echo").length).toBeLessThanOrEqual(2);
  });

  it("gets names with their server's always, or never, as the tenant wants", async () => {
    await using always = await connect(await balanced("admin-1", "always"));
    const prefixed = await namesOf(always);
    expect(prefixed.every((name) => /^(everything|plain)_/.test(name))).toBe(true);
    expect(await always.callTool("plain_only_plain")).toBe("plain only_plain");
    await using never = await connect(await balanced("admin-1", "never"));
    expect((await namesOf(never)).filter((name) => name === "echo")).toHaveLength(1);
    expect(await never.callTool("echo", { message: "first wins" })).toBe("Echo: first wins");
    expect(await never.callTool("everything_trap")).toBe("plain everything_trap");
  });

  it("reads prompts and resources of all servers", async () => {
    await using client = await connect(await balanced());
    const { legacy, modern } = client;
    const { prompts } = legacy !== undefined ? await legacy.listPrompts() : await modern!.listPrompts();
    expect(prompts.map(({ name }) => name)).toEqual(expect.arrayContaining(["simple-prompt", "test_simple_prompt"]));
    const { resources } = legacy !== undefined ? await legacy.listResources() : await modern!.listResources();
    expect(resources.map(({ uri }) => uri)).toContain("test://static-text");
    const read = async (uri: string) =>
      legacy !== undefined ? await legacy.readResource({ uri }) : await modern!.readResource({ uri });
    expect(JSON.stringify(await read("test://static-text"))).toContain("test://static-text");
    expect(JSON.stringify(await read("demo://resource/dynamic/text/3"))).toContain("demo://resource/dynamic/text/3");
  });

  it("goes on when an upstream has forgotten its session", async () => {
    await using client = await connect(await balanced());
    expect(await client.callTool("only_plain")).toBe("plain only_plain");
    plain.sessions.clear();
    expect(await client.callTool("only_plain")).toBe("plain only_plain");
  });
});

describe("a federated session", () => {
  it("is told of each kind of change once, and the list is fetched anew", async () => {
    await using client = await legacyClient(await balanced());
    const heard: string[] = [];
    client.legacy!.fallbackNotificationHandler = ({ method }) => Promise.resolve(void heard.push(method));
    const changes = () => heard.filter((method) => method === "notifications/tools/list_changed").length;
    await until("the streams to be open", async () => {
      await client.callTool("test_trigger_tool_change");
      return changes() > 0;
    });
    const settled = async () => {
      for (let quiet = 0, known = changes(); quiet < 20; known = changes(), quiet = changes() === known ? quiet + 1 : 0)
        await client.callTool("only_plain");
      return changes();
    };
    const before = await settled();
    await client.callTool("test_trigger_tool_change");
    await until("the word", () => changes() > before);
    expect(await settled()).toBe(before + 1);
  });

  it("goes on with the same sessions upstream when an egress replica is killed (A21)", async () => {
    await using client = await legacyClient(await balanced("admin-1", "always"));
    const call = () => client.callTool("plain_only_plain");
    for (let calls = 0; calls < 4; calls++) expect(await call()).toBe("plain only_plain");
    const before = new Set(plain.sessions);
    const [victim] = house.house.of("egress");
    if (victim === undefined) throw new Error("no egress runs");
    victim.endedOnPurpose = true;
    victim.process.kill("SIGKILL");
    await victim.process.exit;
    for (let calls = 0; calls < 10; calls++) expect(await call()).toBe("plain only_plain");
    expect(new Set(plain.sessions)).toEqual(before);
    await house.house.add("egress");
  });

  it("goes on without the replica that held its connection to a server of the old transport", async () => {
    await using client = await legacyClient(await balanced());
    expect(await client.callTool("old_shout", { text: "one" })).toBe("ONE");
    for (const victim of [...house.house.of("egress")]) {
      await house.house.add("egress");
      victim.endedOnPurpose = true;
      victim.process.kill("SIGKILL");
      await victim.process.exit;
      expect(await client.callTool("only_plain")).toBe("plain only_plain");
      expect(await client.callTool("old_shout", { text: "two" })).toBe("TWO");
    }
  });

  it("is unknown on another route, to another agent and after its end (A19)", async () => {
    const url = house.house.url;
    const key = house.key("admin-1");
    const initialize = {
      jsonrpc: "2.0",
      id: 1,
      method: "initialize",
      params: { protocolVersion: "2025-06-18", capabilities: {}, clientInfo: { name: "raw", version: "1" } },
    };
    const opened = await send({ url: `${url}/mcp`, key, body: initialize });
    const session = String(opened.headers["mcp-session-id"]);
    const headers = { ...legacyHeaders, "mcp-session-id": session };
    const ask = (path: string, as: string) =>
      send({ url: `${url}${path}`, key: as, headers, body: call(2, "only_plain") });
    expect((await ask("/mcp", key)).status).toBe(200);
    expect((await ask("/mcp/plain", key)).status).toBe(404);
    expect((await ask("/mcp", house.key("narrow-1"))).status).toBe(404);
    expect((await send({ url: `${url}/mcp`, key, method: "DELETE", headers })).status).toBe(200);
    expect((await ask("/mcp", key)).status).toBe(404);
  });
});
