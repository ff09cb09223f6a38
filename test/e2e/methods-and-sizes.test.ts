import { answerEcho, answerJson, FakeUpstream, startTestHouse, until, type TestHouse } from "@sluice/testing";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { as, send, toolCall } from "./http.ts";
import { EventReader, answerOf, legacyHeaders, open } from "./wire.ts";

const stack = new AsyncDisposableStack();
let house: TestHouse;
let narrow: FakeUpstream;
let wide: FakeUpstream;

const tenantBytes = 8_192;
const narrowBytes = 2_048;

/** A server whose one tool has its name. */
async function startServer(name: string): Promise<FakeUpstream> {
  return FakeUpstream.start((request, response) => {
    const { message } = request;
    const reply = (result: object) =>
      answerJson(response, { jsonrpc: "2.0", id: message?.id, result: { resultType: "complete", ...result } });
    if (message?.method === "server/discover")
      return reply({ supportedVersions: ["2026-07-28"], capabilities: { tools: {} } });
    if (message?.method !== "tools/list") return answerEcho(request, response);
    reply({ tools: [{ name, inputSchema: { type: "object" } }], ttlMs: 60_000, cacheScope: "public" });
  });
}

beforeAll(async () => {
  [narrow, wide] = [stack.use(await startServer("narrow")), stack.use(await startServer("wide"))];
  const tenant = { agents: ["a-1"], accessRules: [{ agentPattern: "*", allowedTools: ["*"] }] };
  const endpoints = [
    { name: "narrow", url: narrow.url, maxPayloadBytes: narrowBytes },
    { name: "wide", url: wide.url, maxPayloadBytes: 100_000_000 },
  ];
  const one = { endpoints: [{ name: "wide", url: wide.url }] };
  house = stack.use(
    await startTestHouse({
      replicas: { ingress: 2 },
      tenants: {
        acme: { ...tenant, settings: { max_payload_bytes: tenantBytes }, mcp: { endpoints } },
        post: {
          ...tenant,
          settings: { allowed_methods: ["POST", "DELETE"] },
          mcp: one,
          routes: [
            { path: "/mcp/wide", methods: ["POST"] },
            { path: "/mcp/tools/call", methods: [] },
          ],
        },
        agents: { ...tenant, a2a: { endpoints: [{ name: "planner", url: wide.url }] } },
      },
    }),
  );
});
afterAll(() => stack.disposeAsync());
beforeEach(() => {
  for (const { requests } of [narrow, wide]) requests.splice(0);
});

const url = (path: string, replica = 0) => `${house.house.of("ingress")[replica]?.url}${path}`;
const as1 = (tenant: string, more = {}) => as(house.key("a-1", tenant), more);

describe("P20: HTTP methods", () => {
  const ask = async (method: string, path: string, tenant = "post") => {
    const body = method === "POST" ? { body: toolCall("wide") } : {};
    const { status, headers, text } = await send(url(path), { method, headers: as1(tenant), ...body });
    return { status, allow: headers["allow"], error: text.startsWith("{") ? JSON.parse(text).error?.data?.error : "" };
  };

  it.each([
    ["GET", "/mcp", "POST, DELETE"],
    ["PUT", "/mcp", "POST, DELETE"],
    ["OPTIONS", "/mcp", "POST, DELETE"],
    ["DELETE", "/mcp/wide", "POST"],
    ["GET", "/mcp/wide", "POST"],
    ["GET", "/mcp/%77ide", "POST"],
    ["GET", "/mcp/tools/list", "POST"],
    ["POST", "/mcp/tools/call", ""],
    ["GET", "/mcp/sse", ""],
    ["GET", "/mcp/registration", ""],
  ])(
    "%s %s of a tenant that left it less answers 405, says what is left, and forwards nothing",
    async (method, path, allow) => {
      expect(await ask(method, path)).toEqual({ status: 405, allow, error: "method_not_allowed" });
      expect(wide.requests).toEqual([]);
    },
  );

  it("what is left passes, and other tenants have every method that a path can have", async () => {
    expect((await ask("POST", "/mcp")).status).toBe(200);
    expect((await ask("POST", "/mcp/wide")).status).toBe(200);
    expect(await ask("PUT", "/mcp", "acme")).toMatchObject({ status: 405, allow: "GET, POST, DELETE" });
    expect((await ask("GET", "/mcp/registration", "acme")).status).toBe(200);
  });
});

describe("P20: sizes", () => {
  /** A call of exactly so many bytes. */
  const sized = (tool: string, bytes: number) => {
    const rest = toolCall(tool, { text: "" }).length;
    return toolCall(tool, { text: "x".repeat(bytes - rest) });
  };
  const post = async (path: string, body: string | readonly string[]) =>
    (await send(url(path), { headers: as1("acme", legacyHeaders), body })).status;

  it("A13: one byte over what the endpoint takes answers 413, with Content-Length and without, and is not forwarded", async () => {
    const over = sized("narrow", narrowBytes + 1);
    expect(await post("/mcp/narrow", over)).toBe(413);
    expect(await post("/mcp/narrow", [over.slice(0, 9), over.slice(9)])).toBe(413);
    expect(await post("/mcp/narrow", `[${over}]`)).toBe(413);
    expect(narrow.requests).toEqual([]);
    expect(await post("/mcp/narrow", sized("narrow", narrowBytes))).toBe(200);
  });

  it("A13: the tenant's size holds where the endpoint names a larger one or none, at every path", async () => {
    for (const path of ["/mcp/wide", "/mcp", "/mcp/tools/call"])
      expect([path, await post(path, sized("wide", tenantBytes + 1))]).toEqual([path, 413]);
    expect(wide.requests).toEqual([]);
    expect(await post("/mcp/wide", sized("wide", tenantBytes))).toBe(200);
  });

  it("A13: at the address of all servers, and at methods' own paths, each server's own size holds", async () => {
    expect(await post("/mcp", sized("wide", narrowBytes * 2))).toBe(200);
    for (const path of ["/mcp", "/mcp/tools/call"])
      expect([path, await post(path, sized("narrow", narrowBytes * 2))]).toEqual([path, 413]);
    expect(narrow.requests.filter(({ message }) => message?.method === "tools/call")).toEqual([]);
    expect(await post("/mcp", sized("narrow", narrowBytes / 2))).toBe(200);
  });

  it("A13: so it does for what is posted to an HTTP+SSE session, on whichever replica", async () => {
    const key = house.key("a-1", "acme");
    const reader = new EventReader(await answerOf(open({ url: url("/mcp/narrow/sse"), key, method: "GET" })));
    const endpoint = await until("the endpoint event", () => reader.events[0]?.data);
    for (const replica of [0, 1]) {
      const headers = as(key);
      const status = async (bytes: number) =>
        (await send(url(endpoint, replica), { headers, body: sized("narrow", bytes) })).status;
      expect([await status(narrowBytes + 1), await status(narrowBytes)]).toEqual([413, 202]);
    }
    reader.leave();
  });
});

it("a tenant without MCP servers is told so at every MCP path", async () => {
  for (const path of ["/mcp", "/mcp/planner", "/mcp/tools/call"]) {
    const { status, text } = await send(url(path), { headers: as1("agents"), body: toolCall("wide") });
    expect([path, status]).toEqual([path, 404]);
    expect(text).toContain("this tenant has no MCP servers");
  }
});
