import { answerJson, FakeUpstream, startTestHouse, until, type ReceivedRequest, type TestHouse } from "@sluice/testing";
import type { ServerResponse } from "node:http";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startEverything } from "./everything.ts";
import { as, send } from "./http.ts";
import { startModernServer } from "./modern-server.ts";

const stack = new AsyncDisposableStack();
let house: TestHouse;
let scripted: FakeUpstream;
const allowedTools = ["echo", "get-sum", "big-*", "fail-*", "ask", "hang", "shout", "count"];
/** What no number of JavaScript holds exactly. */
const exact = "12345678901234567890";
const bigTools = Array.from({ length: 40 }, (_, index) => ({
  name: `big-${index}`,
  description: "x".repeat(12_000),
  inputSchema: { type: "object", properties: {}, "x-index": index },
  annotations: { title: "not for the document" },
}));

/** A modern server that fails on demand and tells what it was sent. */
function answerScripted({ message }: ReceivedRequest, response: ServerResponse): void {
  const { id, method, params } = message ?? {};
  const reply = (result: object) =>
    answerJson(response, { jsonrpc: "2.0", id, result: { resultType: "complete", ...result } });
  const refuse = (code: number, text: string) =>
    answerJson(response, { jsonrpc: "2.0", id, error: { code, message: text, data: { hint: 1 } } });
  if (method === "server/discover") return reply({ supportedVersions: ["2026-07-28"], capabilities: { tools: {} } });
  if (method === "tools/list") return reply({ tools: bigTools, ttlMs: 0, cacheScope: "private" });
  const name = String(params?.["name"]);
  if (name === "fail-hard") return refuse(-32603, "out of order");
  if (name === "fail-arguments") return refuse(-32602, "Invalid arguments for tool fail-arguments");
  if (name === "fail-status") return void response.writeHead(500).end();
  if (name === "ask") return reply({ resultType: "input_required", inputRequests: {}, requestState: "later" });
  return reply({ content: [{ type: "text", text: JSON.stringify(params) }] });
}

beforeAll(async () => {
  const everything = stack.use(await startEverything());
  const modern = stack.use(await startModernServer());
  scripted = stack.use(await FakeUpstream.start(answerScripted));
  const accessRules = [{ agentPattern: "*", allowedTools, deniedResources: ["*secret*"] }];
  const endpoints = [
    { name: "everything", url: everything.url },
    { name: "scripted", url: scripted.url },
  ];
  const limits = [{ path: "/mcp/tools/call", agentPattern: "limited-*", maxRequests: 2, windowSeconds: 3600 }];
  const registration = { name: "acme-tools", description: "Tools of Acme", version: "2.1.0" };
  house = stack.use(
    await startTestHouse({
      env: { PUBLIC_URL: "https://gateway.example.com/base/" },
      tenants: {
        acme: { agents: ["a-1", "limited-1", "audited-1"], mcp: { endpoints, registration }, accessRules, limits },
        one: { agents: ["a-1"], mcp: { endpoints: [{ name: "modern", url: modern.url }] }, accessRules },
        hiding: {
          agents: ["a-1"],
          mcp: { endpoints },
          accessRules,
          settings: { hide_denied: true, denied_status: 200 },
        },
        off: { agents: ["a-1"], mcp: { endpoints }, accessRules, settings: { mcp_enabled: false } },
      },
    }),
  );
});
afterAll(() => stack.disposeAsync());

interface Asking {
  readonly tenant?: string;
  readonly agent?: string;
  readonly method?: "GET" | "POST";
  readonly headers?: Record<string, string>;
}

async function ask(
  path: string,
  body?: unknown,
  { tenant = "acme", agent = "a-1", method, headers = {} }: Asking = {},
) {
  const answer = await send(`${house.house.url}/mcp/${path}`, {
    method: method ?? (body === undefined ? "GET" : "POST"),
    headers: as(house.key(agent, tenant), headers),
    ...(body !== undefined && { body: typeof body === "string" ? body : JSON.stringify(body) }),
  });
  return { ...answer, json: JSON.parse(answer.text) };
}

const rpc = (method: string, params: unknown = {}, id: unknown = "seven") => ({ jsonrpc: "2.0", id, method, params });
const textOf = (result: { content: { text: string }[] }) => result.content[0]?.text;
const names = (tools: { name: string }[]) => tools.map(({ name }) => name);

describe("a tool is called by plain JSON or JSON-RPC", () => {
  it.each([
    ["a legacy upstream", "acme", "echo", { message: "hi" }, "Echo: hi"],
    ["a modern upstream", "one", "shout", { text: "hi" }, "HI"],
  ])("of %s", async (_what, tenant, name, args, expected) => {
    const plain = await ask("tools/call", { name, arguments: args }, { tenant });
    expect(plain.status).toBe(200);
    expect(plain.headers["content-type"]).toBe("application/json");
    expect(textOf(plain.json)).toBe(expected);
    expect(plain.json).not.toHaveProperty("jsonrpc");
    const asked = await ask("tools/call", rpc("tools/call", { name, arguments: args }), { tenant });
    expect(asked.status).toBe(200);
    expect(asked.json).toMatchObject({ jsonrpc: "2.0", id: "seven", result: { content: [{ text: expected }] } });
  });

  it("in its own name, stateless, and with the bytes of its arguments", async () => {
    scripted.requests.splice(0);
    const body = `{"name":"big-1","arguments":{"n":${exact}},"_meta":{"mine":1,"io.modelcontextprotocol/clientInfo":{"name":"forged"}}}`;
    const headers = {
      "mcp-session-id": "x",
      "last-event-id": "y",
      "mcp-protocol-version": "2025-06-18",
      "mcp-param-n": "9",
    };
    expect((await ask("tools/call", body, { headers })).status).toBe(200);
    const received = scripted.requests.find(({ message }) => message?.method === "tools/call");
    expect(received?.body.toString()).toContain(exact);
    expect(received?.message?.params?.["_meta"]).toMatchObject({
      mine: 1,
      "io.modelcontextprotocol/clientInfo": { name: "Agent a-1" },
      "io.modelcontextprotocol/clientCapabilities": {},
    });
    expect(received?.headers).not.toHaveProperty("mcp-session-id");
    expect(received?.headers).not.toHaveProperty("mcp-param-n");
    expect(scripted.everything).not.toContain(house.key("a-1"));
  });

  it("and hears of no progress, but of the result alone", async () => {
    const params = { name: "count", arguments: { to: 3 }, _meta: { progressToken: "p" } };
    for (const body of [params, rpc("tools/call", params, 0)]) {
      const { status, headers, text } = await ask("tools/call", body, { tenant: "one" });
      expect([status, headers["content-type"]]).toEqual([200, "application/json"]);
      expect(text).toContain("counted to 3");
      expect(text).not.toContain("notifications/progress");
    }
  });

  it("and is told when more is asked of it than it can answer here", async () => {
    expect((await ask("tools/call", { name: "scripted_ask" })).json).toMatchObject({ resultType: "input_required" });
  });
});

describe("what goes wrong is told in the shape that was sent", () => {
  const denied = {
    error: "tool_access_denied",
    message: "Agent 'a-1' is not authorized to invoke tool 'get-env'",
    allowedTools,
  };

  it("a denied tool: 403, by the name its server calls it too", async () => {
    for (const name of ["get-env", "everything_get-env"])
      expect(await ask("tools/call", { name })).toMatchObject({ status: 403, json: denied });
    expect(await ask("tools/call", rpc("tools/call", { name: "get-env" }))).toMatchObject({
      status: 403,
      json: { jsonrpc: "2.0", id: "seven", error: { code: 1403, data: denied } },
    });
    expect((await ask("resources/read", { uri: "demo://secret" })).json.error).toBe("resource_access_denied");
  });

  it("a limit: 429 with Retry-After, shared with /mcp and by both shapes", async () => {
    const limited = { agent: "limited-1" };
    const echo = { name: "echo", arguments: { message: "x" } };
    expect((await ask("tools/call", echo, limited)).status).toBe(200);
    const direct = await send(`${house.house.url}/mcp/everything`, {
      headers: as(house.key("limited-1")),
      body: JSON.stringify(rpc("tools/call", echo)),
    });
    expect(direct.status).not.toBe(429);
    const refused = await ask("tools/call", echo, limited);
    expect(refused.status).toBe(429);
    expect(refused.json).toMatchObject({ error: "agent_rate_limited", agentId: "limited-1" });
    expect(refused.headers["retry-after"]).toBe(String(refused.json.retryAfterSeconds));
    const asked = await ask("tools/call", rpc("tools/call", echo), limited);
    expect(asked).toMatchObject({ status: 429, json: { error: { code: 1429, data: { agentId: "limited-1" } } } });
    expect((await ask("tools/list", undefined, limited)).status).toBe(200);
  });

  it.each([
    ["tools/call", { name: "echo-that-is-not" }, 403, "tool_access_denied"],
    ["tools/call", { name: "big-unknown", arguments: {} }, 404, "not_found"],
    ["tools/call", { name: "scripted_fail-arguments" }, 400, "invalid_request"],
    ["tools/call", { name: "scripted_fail-hard" }, 502, "upstream_failed"],
    ["tools/call", { name: "scripted_fail-status" }, 502, "upstream_failed"],
    ["resources/read", { uri: "demo://nothing/here" }, 404, "not_found"],
    ["resources/list", { cursor: "invented" }, 400, "invalid_request"],
  ])("%s %j: %i %s, in both shapes", async (path, body, status, kind) => {
    const plain = await ask(path, body);
    expect(plain).toMatchObject({ status, json: { error: kind, message: expect.any(String) } });
    const asked = await ask(path, rpc(path, body));
    expect(asked).toMatchObject({
      status,
      json: { jsonrpc: "2.0", id: "seven", error: { message: plain.json.message } },
    });
  });

  it("an upstream's own error comes with its code and data", async () => {
    const { json } = await ask("tools/call", { name: "scripted_fail-hard" });
    expect(json).toEqual({ error: "upstream_failed", code: -32603, message: "out of order", data: { hint: 1 } });
  });

  it("what is hidden looks like what does not exist, whatever status the tenant has for refusals", async () => {
    const [hidden, unknown] = [
      await ask("tools/call", { name: "get-env" }, { tenant: "hiding" }),
      await ask("tools/call", { name: "big-none" }, { tenant: "hiding" }),
    ];
    expect(hidden).toMatchObject({
      status: 404,
      json: { error: "not_found", code: -32602, message: "Unknown tool: get-env" },
    });
    expect(hidden.text.replaceAll("get-env", "big-none")).toBe(unknown.text);
    expect(hidden.status).toBe(unknown.status);
  });

  it("a tenant that has switched MCP off: 403", async () => {
    for (const path of ["tools/list", "registration"])
      expect(await ask(path, undefined, { tenant: "off" })).toMatchObject({
        status: 403,
        json: { error: "protocol_disabled" },
      });
  });

  it.each([
    ["another method than the path's", rpc("tools/list"), "invalid_request"],
    ["a notification", { jsonrpc: "2.0", method: "tools/call", params: { name: "echo" } }, "invalid_request"],
    ["a method without a version", { method: "tools/call", id: 1, params: {} }, "invalid_request"],
    ["parameters that are a list", rpc("tools/call", []), "invalid_request"],
    ["no name", { arguments: {} }, "invalid_request"],
    ["a batch", [rpc("tools/call", { name: "echo" })], "invalid_request"],
    ["a name twice", '{"name":"echo","n\\u0061me":"get-env"}', "parse_error"],
    ["a name in another spelling", '{"Name":"echo"}', "parse_error"],
    ["no JSON", "{", "parse_error"],
  ])("400 for %s", async (_what, body, kind) => {
    const { status, json } = await ask("tools/call", body);
    expect(status).toBe(400);
    expect(json.error.data?.error ?? json.error).toBe(kind);
  });

  it("400 where a header says something else than the body", async () => {
    for (const headers of [{ "mcp-name": "get-env" }, { "mcp-method": "tools/list" }] as Record<string, string>[])
      expect((await ask("tools/call", { name: "echo" }, { headers })).json.error).toBe("header_mismatch");
  });

  it("405 with Allow, 415 and 413 as at /mcp", async () => {
    const url = `${house.house.url}/mcp`;
    const key = house.key("a-1");
    for (const [path, allow] of [
      ["tools/call", "POST"],
      ["initialize", "POST"],
      ["tools/list", "GET, POST"],
      ["registration", "GET"],
    ]) {
      const wrong = await send(`${url}/${path}`, { method: "DELETE", headers: as(key) });
      expect([wrong.status, wrong.headers.allow]).toEqual([405, allow]);
    }
    const form = await ask("tools/call", "name=echo", { headers: { "content-type": "text/plain" } });
    expect(form).toMatchObject({ status: 415, json: { error: "unsupported_media_type" } });
    const large = await ask("tools/call", undefined, { method: "POST", headers: { "content-length": "40000000" } });
    expect(large).toMatchObject({ status: 413, json: { error: "payload_too_large" } });
  });
});

describe("lists, resources and initialize", () => {
  it("lists page by page by GET and POST, in both shapes, what the agent may use", async () => {
    const listed: string[] = [];
    let cursor: string | undefined;
    let pages = 0;
    do {
      const page = await ask(`tools/list${cursor === undefined ? "" : `?cursor=${encodeURIComponent(cursor)}`}`);
      expect(page.status).toBe(200);
      const again = await ask("tools/list", cursor === undefined ? "" : { cursor });
      const asked = await ask("tools/list", rpc("tools/list", { cursor }));
      expect(names(again.json.tools)).toEqual(names(page.json.tools));
      expect(names(asked.json.result.tools)).toEqual(names(page.json.tools));
      listed.push(...names(page.json.tools));
      cursor = page.json.nextCursor as string | undefined;
      pages++;
    } while (cursor !== undefined && pages < 20);
    expect(pages).toBeGreaterThan(1);
    expect(listed.toSorted()).toEqual(["echo", "get-sum", ...names(bigTools)].toSorted());
  });

  it("lists and reads resources, also over 256 KiB", async () => {
    const { json } = await ask("resources/list");
    const [first] = json.resources as { uri: string }[];
    const read = await ask("resources/read", { uri: first?.uri });
    expect(read.json.contents[0].uri).toBe(first?.uri);
    expect((await ask("resources/read", rpc("resources/read", { uri: first?.uri }))).json.result.contents).toEqual(
      read.json.contents,
    );
    const large = "y".repeat(700_000);
    expect(textOf((await ask("tools/call", { name: "big-0", arguments: { large } })).json)).toContain(large);
  });

  it("initialize tells what there is, and opens no session", async () => {
    const params = { protocolVersion: "2025-06-18", capabilities: {}, clientInfo: { name: "c", version: "1" } };
    const plain = await ask("initialize", params);
    expect(plain).toMatchObject({
      status: 200,
      json: { protocolVersion: "2026-07-28", serverInfo: { name: "sluice" } },
    });
    expect(plain.json.capabilities).toHaveProperty("tools");
    expect(plain.headers).not.toHaveProperty("mcp-session-id");
    expect((await ask("initialize", rpc("initialize", params))).json).toEqual({
      jsonrpc: "2.0",
      id: "seven",
      result: plain.json,
    });
    const one = await ask("initialize", "{}", { tenant: "one" });
    expect(one.json.serverInfo).toEqual({ name: "modern-fixture", version: "1.0.0" });
  });
});

describe("the registration document", () => {
  it("tells name, endpoint, authentication and all tools that the agent may use", async () => {
    const { status, json } = await ask("registration");
    expect(status).toBe(200);
    const { tools, ...about } = json.mcpServer;
    expect(about).toEqual({
      name: "acme-tools",
      version: "2.1.0",
      description: "Tools of Acme",
      endpoint: "https://gateway.example.com/base/mcp",
      authentication: { type: "apiKey", header: "x-agent-api-key" },
    });
    expect(names(tools).toSorted()).toEqual(["echo", "get-sum", ...names(bigTools)].toSorted());
    const { annotations: _left, ...expected } = bigTools[7]!;
    expect(tools.find(({ name }: { name: string }) => name === "big-7")).toEqual(expected);
  });

  it("of one server, and with defaults", async () => {
    const one = (await ask("scripted/registration")).json.mcpServer;
    expect(one).toMatchObject({ name: "scripted", endpoint: "https://gateway.example.com/base/mcp/scripted" });
    expect(one.tools).toHaveLength(bigTools.length);
    const { tools, ...about } = (await ask("registration", undefined, { tenant: "one" })).json.mcpServer;
    expect(about).toMatchObject({ name: "one", version: "1.0.0", description: "MCP tools of one" });
    expect(names(tools).toSorted()).toEqual(["count", "shout"]);
    expect((await ask("nothing/registration")).status).toBe(404);
  });
});

it("a client that leaves ends its call at the upstream", async () => {
  const left = new AbortController();
  const gone = Promise.withResolvers<void>();
  const answer = scripted.handler;
  scripted.handler = (received, response) => {
    if (received.message?.params?.["name"] === "hang") {
      response.once("close", gone.resolve);
      left.abort();
    } else return answer(received, response);
  };
  const call = fetch(`${house.house.url}/mcp/tools/call`, {
    method: "POST",
    headers: { "content-type": "application/json", "x-agent-api-key": house.key("a-1") },
    body: JSON.stringify({ name: "scripted_hang" }),
    signal: left.signal,
  });
  await expect(call).rejects.toThrow();
  await gone.promise;
  scripted.handler = answer;
});

it("the audit trail has one row per call, with the path it came by", async () => {
  const calls: [string, unknown, object][] = [
    [
      "tools/call",
      { name: "echo", arguments: { message: "x" } },
      { method: "tools/call", target: "echo", status: 200 },
    ],
    ["tools/call", { name: "everything_get-env" }, { target: "get-env", decision: "deny", status: 403 }],
    ["tools/call", { name: "scripted_fail-hard" }, { target: "fail-hard", decision: "allow", status: 502 }],
    ["tools/list", undefined, { method: "tools/list", http: "GET", status: 200 }],
    ["initialize", {}, { method: "initialize", http: "POST", status: 200 }],
    ["registration", undefined, { method: "tools/list", http: "GET", status: 200 }],
  ];
  for (const [path, body] of calls) await ask(path, body, { agent: "audited-1" });
  const rows = await until("the rows", async () => {
    const found = await house.query<{ status: number | null }>(
      "select * from audit_calls where agent_id = 'audited-1' order by at",
    );
    return found.length >= calls.length && found.every(({ status }) => status !== null) ? found : undefined;
  });
  expect(rows).toMatchObject(calls.map(([path, , expected]) => ({ path: `/mcp/${path}`, ...expected })));
});
