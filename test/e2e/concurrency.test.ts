import type { ServerResponse } from "node:http";
import { FakeUpstream, answerJson, startTestHouse, until, type TestHouse } from "@sluice/testing";
import { Redis } from "ioredis";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { answerOf, call, EventReader, legacyHeaders, modernCall, open, send, type Sent } from "./wire.ts";

const path = "/mcp/tools/call";
const most = 10;
let house: TestHouse;
let upstream: FakeUpstream;
let redis: Redis;
const stack = new AsyncDisposableStack();
/** Calls that the upstream has not answered yet. */
let held: (() => void)[] = [];

beforeAll(async () => {
  upstream = stack.use(await FakeUpstream.start());
  house = stack.use(
    await startTestHouse({
      tenants: {
        acme: {
          agents: ["a-1", "a-2"],
          mcp: { endpoints: [{ name: "main", url: upstream.url }] },
          accessRules: [{ agentPattern: "*", allowedTools: ["*"], deniedTools: ["denied"] }],
          limits: [
            { path, tool: "many", maxConcurrent: most },
            { path, tool: "one", maxConcurrent: 1 },
            { path, tool: "denied", maxConcurrent: 1 },
            { path, tool: "shared", per: "tenant", maxConcurrent: 2, maxRequests: 1_000, windowSeconds: 60 },
            { path: "/mcp/GET", maxConcurrent: 1 },
            { path: "/mcp/sse", maxConcurrent: 2 },
          ],
        },
      },
      replicas: { ingress: 3, "rate-limit": 3 },
      envOf: { "rate-limit": { REDIS_TIMEOUT_MS: "2000" } },
    }),
  );
  redis = new Redis(house.house.parts.redis.url, { lazyConnect: true });
  redis.on("error", () => {});
}, 120_000);
afterAll(async () => {
  redis.disconnect();
  await stack.disposeAsync();
});
beforeEach(() => {
  held = [];
  upstream.handler = ({ message }, response) =>
    void held.push(() => answerJson(response, { jsonrpc: "2.0", id: message?.id, result: {} }));
});

const from = (replica: number, agent = "a-1"): Omit<Sent, "body"> => ({
  url: `${house.house.of("ingress")[replica]?.url}/mcp`,
  key: house.key(agent),
  headers: legacyHeaders,
});
const use = (tool: string, { replica = 0, agent = "a-1" } = {}) =>
  send({ ...from(replica, agent), body: call(`${tool}-${replica}`, tool) });
const release = () => {
  for (const answer of held.splice(0)) answer();
};
const inFlight = async () => {
  const keys = await redis.keys("gw:rs:*");
  const counts = await Promise.all(keys.map((key) => redis.zcard(key)));
  return counts.reduce((sum, count) => sum + count, 0);
};
const settled = () => until("every slot to be given back", async () => (await inFlight()) === 0);

/** Makes many calls at once; gives the answers of those that were refused, and what all will answer. */
async function useManyAtOnce(tool: string, calls: number, passing: number) {
  const refused: Awaited<ReturnType<typeof send>>[] = [];
  const before = held.length;
  const all = Array.from({ length: calls }, async (_, index) => {
    const answer = await use(tool, { replica: index % 3 });
    if (answer.status === 429) refused.push(answer);
    return answer.status;
  });
  await until("the calls that pass", () => held.length >= before + passing && refused.length >= calls - passing);
  expect([held.length - before, refused.length]).toEqual([passing, calls - passing]);
  return { refused, all: Promise.all(all) };
}

describe("calls in flight", () => {
  it("are never more than maxConcurrent over 3 ingress and 3 rate-limit replicas; the rest get 429 with Retry-After; each that ends makes room for one", async () => {
    const { refused, all } = await useManyAtOnce("many", 60, most);
    for (const { headers, body } of refused) {
      const { data } = (JSON.parse(body.toString()) as { error: { data: Record<string, unknown> } }).error;
      expect(data).toMatchObject({
        error: "agent_rate_limited",
        message: "too many calls in flight (limits[0]): try again in 1 s",
        agentId: "a-1",
        retryAfterSeconds: 1,
      });
      expect([headers["retry-after"], headers["ratelimit-policy"], headers["ratelimit"]]).toEqual([
        "1",
        `"limits[0]";q=${most};qu="concurrent-requests"`,
        '"limits[0]";r=0',
      ]);
    }
    for (const answer of held.splice(0, 3)) answer();
    await until("three slots to be given back", async () => (await inFlight()) === most - 3);
    const more = await useManyAtOnce("many", 9, 3);
    expect(more.refused).toHaveLength(6);
    release();
    const statuses = [...(await all), ...(await more.all)];
    expect(statuses.filter((status) => status === 200)).toHaveLength(most + 3);
    await settled();
    const sql = "select count(*)::int as calls from audit_calls where rpc_id like '\"many-%' and state = 'done'";
    const recorded = await until("each call in the audit trail", async () => {
      const [row] = await house.query<{ calls: number }>(sql);
      return (row?.calls ?? 0) >= statuses.length ? row : undefined;
    });
    expect(recorded.calls, "also of calls that were asked about twice").toBe(statuses.length);
  });

  it("of a client that makes one call after the other never stand in its way, whatever replica it reaches", async () => {
    upstream.handler = ({ message }, response) => answerJson(response, { jsonrpc: "2.0", id: message?.id, result: {} });
    for (let index = 0; index < 60; index++) expect((await use("one", { replica: index % 3 })).status).toBe(200);
    await settled();
  });

  it("are counted per tenant where the limit says so, and one that is refused takes nothing from the window beside it", async () => {
    const both = [use("shared"), use("shared", { agent: "a-2", replica: 1 })];
    await until("both calls", () => held.length === 2);
    for (const agent of ["a-1", "a-2"]) expect((await use("shared", { agent })).status).toBe(429);
    release();
    for (const answer of await Promise.all(both)) expect(answer.status).toBe(200);
    await settled();
    upstream.handler = ({ message }, response) => answerJson(response, { jsonrpc: "2.0", id: message?.id, result: {} });
    expect((await use("shared")).headers["ratelimit"]).toMatch(/;r=997;t=60/);
    await settled();
  });
});

describe("a slot is given back when its call ends", () => {
  type End = (response: ServerResponse, client: { leave: () => void }) => void;
  const ends: [string, Record<string, unknown>, End][] = [
    ["by an answer of the upstream's with an error", call(1, "one"), (response) => response.writeHead(500).end()],
    ["by a broken connection to the upstream", call(1, "one"), (response) => response.destroy()],
    ["by its client's leaving, in the legacy era", call(1, "one"), (_, { leave }) => leave()],
    ["by its client's leaving, in the modern era", modernCall(1, "one"), (_, { leave }) => leave()],
    [
      "by the end of its stream",
      call(1, "one"),
      (response) =>
        response
          .writeHead(200, { "content-type": "text/event-stream" })
          .end('data: {"jsonrpc":"2.0","id":1,"result":{}}\n\n'),
    ],
    [
      "by its client's leaving a stream",
      call(1, "one"),
      (response, { leave }) => {
        response
          .writeHead(200, { "content-type": "text/event-stream" })
          .write('data: {"jsonrpc":"2.0","method":"x"}\n\n');
        leave();
      },
    ],
  ];
  it.each(ends)("%s", async (_, body, end) => {
    const reached = Promise.withResolvers<ServerResponse>();
    upstream.handler = (_request, response) => reached.resolve(response);
    const headers = "_meta" in (body["params"] as object) ? {} : legacyHeaders;
    const opened = open({ ...from(1), headers, body });
    opened.on("error", () => {});
    const answered = answerOf(opened).then(
      (response) => response.resume(),
      () => {},
    );
    const response = await reached.promise;
    expect(await inFlight()).toBe(1);
    expect((await use("one", { replica: 2 })).status).toBe(429);
    end(response, { leave: () => void opened.destroy() });
    await settled();
    response.destroy();
    await answered;
  });

  it("and also when another service refuses it, or nobody can carry it out", async () => {
    for (let index = 0; index < 5; index++) expect((await use("denied", { replica: index % 3 })).status).toBe(403);
    const foreign = { ...from(0), headers: { ...legacyHeaders, "mcp-session-id": "unknown" }, body: call(1, "one") };
    for (let index = 0; index < 3; index++) expect((await send(foreign)).status).toBe(404);
    await settled();
  });
});

describe("event streams", () => {
  const stream = async (url: string, headers: Record<string, string>) => {
    const response = await answerOf(open({ ...from(0), url, method: "GET", headers }));
    return { status: response.statusCode, response, reader: new EventReader(response) };
  };

  it("of HTTP+SSE clients count by /mcp/sse, those of Streamable HTTP by /mcp/GET, until they end", async () => {
    const base = house.house.of("ingress")[0]?.url ?? "";
    upstream.handler = ({ method }, response) => {
      if (method === "GET") response.writeHead(200, { "content-type": "text/event-stream" }).write(": here\n\n");
      else response.writeHead(202).end();
    };
    const [one, two] = [await stream(`${base}/mcp/sse`, {}), await stream(`${base}/mcp/main/sse`, {})];
    expect([one.status, two.status, (await stream(`${base}/mcp/sse`, {})).status]).toEqual([200, 200, 429]);
    expect(one.response.headers["ratelimit"]).toBe('"limits[5]";r=1');
    const listening = await stream(`${base}/mcp`, legacyHeaders);
    expect([listening.status, (await stream(`${base}/mcp`, legacyHeaders)).status]).toEqual([200, 429]);
    one.reader.leave();
    await until("room for a stream", async () => (await inFlight()) === 2);
    const third = await stream(`${base}/mcp/sse`, {});
    expect(third.status).toBe(200);
    for (const { reader } of [two, third, listening]) reader.leave();
    await settled();
  });
});

describe("when something dies", () => {
  it("calls in flight are bounded without Redis too, and all of them count once it is back", async () => {
    const redisPart = house.house.parts.redis;
    await redisPart.kill("SIGKILL");
    const calls = Array.from({ length: 60 }, async (_, index) => (await use("many", { replica: index % 3 })).status);
    const shares = 3 * Math.floor(most / 3);
    await until("the calls that pass", () => held.length > 0);
    let refused = 0;
    for (const each of calls) void each.then((status) => (refused += status === 429 ? 1 : 0));
    await until("the rest to be refused", () => refused + held.length === calls.length);
    expect(held.length).toBeLessThanOrEqual(shares);
    await redisPart.restart();
    const before = held.length;
    await until("Redis to hear of them", async () => (await inFlight()) === before);
    const more = await useManyAtOnce("many", most + 2, most - before);
    release();
    expect((await Promise.all(calls)).filter((status) => status === 200)).toHaveLength(before);
    await more.all;
    await settled();
  }, 60_000);

  it("the slots of a killed ingress are free after their time, those of the living stay", async () => {
    const calls = [
      use("many", { replica: 0 }),
      use("many", { replica: 2 }).catch(() => {}),
      use("many", { replica: 2 }).catch(() => {}),
    ];
    await until("three calls", () => held.length === 3);
    expect(await inFlight()).toBe(3);
    const victim = house.house.of("ingress")[2];
    if (victim === undefined) throw new Error("there is no third ingress");
    victim.endedOnPurpose = true;
    await victim.process.stop("SIGKILL");
    await until("the slots of the dead to be free", async () => (await inFlight()) === 1, 40_000);
    await house.house.add("ingress");
    const more = await useManyAtOnce("many", most + 2, most - 1);
    release();
    expect((await calls[0])?.status).toBe(200);
    await more.all;
    await settled();
  }, 90_000);
});
