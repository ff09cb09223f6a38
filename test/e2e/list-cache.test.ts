import { answerJson, FakeUpstream, startTestHouse, until, type ReceivedRequest, type TestHouse } from "@sluice/testing";
import type { ServerResponse } from "node:http";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { listen, modernHeaders, send } from "./wire.ts";

const stack = new AsyncDisposableStack();
let house: TestHouse;
let upstream: FakeUpstream;
let ttl: Record<string, unknown> = {};
let asEvents = false;
let streams: ServerResponse[] = [];

/** Lists a tool that names the agent who asks, and remembers who listens. */
function serve({ method, headers, message }: ReceivedRequest, response: ServerResponse): void {
  if (method === "GET") {
    response.writeHead(200, { "content-type": "text/event-stream" }).flushHeaders();
    return void streams.push(response);
  }
  if (message?.method === "initialize") {
    const result = {
      protocolVersion: "2025-06-18",
      capabilities: { tools: {} },
      serverInfo: { name: "x", version: "1" },
    };
    return answerJson(response, { jsonrpc: "2.0", id: message.id, result }, { "mcp-session-id": `s-${Math.random()}` });
  }
  const tools = ["common", `of-${String(headers["x-verified-agent-id"])}`].map((name) => ({ name, inputSchema: {} }));
  const answer = { jsonrpc: "2.0", id: message?.id, result: { tools, ...ttl } };
  if (!asEvents) return answerJson(response, answer);
  response.writeHead(200, { "content-type": "text/event-stream" }).end(`data: ${JSON.stringify(answer)}\n\n`);
}

beforeAll(async () => {
  upstream = stack.use(await FakeUpstream.start(serve));
  const accessRules = [
    { agentPattern: "*", allowedTools: ["*"] },
    { agentPattern: "narrow-*", deniedTools: ["common"] },
  ];
  const agents = ["a-1", "a-2", "narrow-1"];
  const tenant = (endpoint: object) => ({
    agents,
    accessRules,
    mcp: { endpoints: [{ name: "only", url: upstream.url, ...endpoint }] },
  });
  house = stack.use(
    await startTestHouse({ tenants: { kept: tenant({}), other: tenant({}), never: tenant({ listCacheSeconds: 0 }) } }),
  );
});
afterAll(() => stack.disposeAsync());
beforeEach(() => {
  upstream.requests.length = 0;
  [ttl, asEvents] = [{}, false];
});

let page = 0;
/** A page that no test asked for before. */
const fresh = () => `page-${page++}`;
const meta = {
  "io.modelcontextprotocol/protocolVersion": "2026-07-28",
  "io.modelcontextprotocol/clientCapabilities": {},
};

async function list(cursor: string, { agent = "a-1", tenant = "kept", modern = false, id = "x" } = {}) {
  const answer = await send({
    url: `${house.house.url}/mcp`,
    key: house.key(agent, tenant),
    headers: modern ? { ...modernHeaders(""), "mcp-method": "tools/list", "mcp-name": "" } : {},
    body: { jsonrpc: "2.0", id, method: "tools/list", params: { cursor, ...(modern && { _meta: meta }) } },
  });
  const whole = answer.body.toString();
  const text = /^data: (.+)$/m.exec(whole)?.[1] ?? whole;
  const message = JSON.parse(text) as { id: unknown; result: { tools: { name: string }[]; ttlMs?: number } };
  return { ...message, names: message.result.tools.map(({ name }) => name) };
}
const asked = () => upstream.requests.filter(({ message }) => message?.method === "tools/list").length;

describe.each([
  ["JSON", false],
  ["an event stream", true],
] as const)("a list that comes as %s", (_form, events) => {
  it("costs the upstream one request however often an agent asks, and each answer has its own id", async () => {
    asEvents = events;
    const cursor = fresh();
    await list(cursor);
    const answers: Awaited<ReturnType<typeof list>>[] = [];
    for (let at = 0; at < 1_000; at += 100)
      answers.push(
        ...(await Promise.all(Array.from({ length: 100 }, (_, more) => list(cursor, { id: `id-${at + more}` })))),
      );
    expect(answers.map(({ id }) => id)).toEqual(answers.map((_, at) => `id-${at}`));
    expect(answers.every(({ names }) => names.join() === "common,of-a-1")).toBe(true);
    expect(asked()).toBe(1);
  });
});

describe("a kept list", () => {
  it("is fetched once by many who ask at the same time", async () => {
    const cursor = fresh();
    const answers = await Promise.all(Array.from({ length: 100 }, () => list(cursor)));
    expect(new Set(answers.map(({ names }) => names.join()))).toEqual(new Set(["common,of-a-1"]));
    expect(asked()).toBe(1);
  });

  it("never crosses agents, tenants or eras, and is filtered by each agent's own rules", async () => {
    const cursor = fresh();
    expect((await list(cursor)).names).toEqual(["common", "of-a-1"]);
    expect((await list(cursor, { agent: "a-2" })).names).toEqual(["common", "of-a-2"]);
    expect((await list(cursor, { agent: "narrow-1" })).names).toEqual(["of-narrow-1"]);
    expect((await list(cursor, { tenant: "other" })).names).toEqual(["common", "of-a-1"]);
    expect((await list(cursor, { modern: true })).names).toEqual(["common", "of-a-1"]);
    expect(asked()).toBe(5);
  });

  it("is shared, and still filtered, where the upstream calls it public; says how long it is good for", async () => {
    ttl = { resultType: "complete", ttlMs: 60_000, cacheScope: "public" };
    const cursor = fresh();
    expect((await list(cursor, { modern: true })).result.ttlMs).toBe(60_000);
    const shared = await list(cursor, { modern: true, agent: "narrow-1" });
    expect(shared.names).toEqual(["of-a-1"]);
    expect(shared.result.ttlMs).toBeLessThanOrEqual(60_000);
    expect(asked()).toBe(1);
  });

  it("is not kept where the upstream gives it no time, nor where the endpoint says so", async () => {
    ttl = { ttlMs: 0, cacheScope: "private" };
    const cursor = fresh();
    for (let times = 0; times < 3; times++) await list(cursor, { modern: true });
    for (let times = 0; times < 3; times++) await list(cursor, { tenant: "never" });
    expect(asked()).toBe(6);
  });

  it("serves every session of an agent whose client can do the same, and no other client's", async () => {
    const cursor = fresh();
    const connect = async (capabilities: object) => {
      const params = { protocolVersion: "2025-06-18", capabilities, clientInfo: { name: "raw", version: "1" } };
      const body = { jsonrpc: "2.0", id: 1, method: "initialize", params };
      const opened = await send({ url: `${house.house.url}/mcp`, key: house.key("a-1"), body });
      return { "mcp-session-id": String(opened.headers["mcp-session-id"]), "mcp-protocol-version": "2025-06-18" };
    };
    for (const capabilities of [{}, { sampling: {} }]) {
      for (let sessions = 0; sessions < 5; sessions++)
        await send({
          url: `${house.house.url}/mcp`,
          key: house.key("a-1"),
          headers: await connect(capabilities),
          body: { jsonrpc: "2.0", id: 1, method: "tools/list", params: { cursor } },
        });
    }
    expect(asked()).toBe(2);
  });

  it("is dropped when the upstream says that it has changed", async () => {
    const cursor = fresh();
    const headers = { accept: "text/event-stream" };
    const reader = await listen({ url: `${house.house.url}/mcp`, key: house.key("a-1"), method: "GET", headers });
    await until("the stream", () => streams.length > 0);
    await list(cursor);
    await list(cursor);
    expect(asked()).toBe(1);
    const change = { jsonrpc: "2.0", method: "notifications/tools/list_changed" };
    streams.at(-1)?.write(`data: ${JSON.stringify(change)}\n\n`);
    await until("the word", () => reader.messages.some(({ method }) => method === change.method));
    await list(cursor);
    expect(asked()).toBe(2);
    for (const stream of streams) stream.end();
    streams = [];
  });
});
