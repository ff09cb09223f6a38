import { FakeUpstream, answerEcho, answerJson, startTestHouse, until, type TestHouse } from "@sluice/testing";
import { Redis } from "ioredis";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { as, send, toolCall, type Answer } from "./http.ts";

const hour = 3_600;
const call = "/mcp/tools/call";
let house: TestHouse;
let upstream: FakeUpstream;
const stack = new AsyncDisposableStack();

const limitsOf = (more: object[] = []) => [
  { name: "minute", path: call, tool: "told", maxRequests: 4, windowSeconds: hour, burstAllowance: 1 },
  { name: "day", path: call, tool: "told", maxRequests: 9, windowSeconds: 86_400, maxConcurrent: 7 },
  { path: call, tool: "shared", per: "tenant", maxRequests: 3, windowSeconds: hour },
  { path: call, tool: "owned", per: "owner", maxRequests: 3, windowSeconds: hour },
  { path: call, tool: "narrow", maxRequests: 2, windowSeconds: hour },
  { path: call, tool: "narrow", maxRequests: 4, windowSeconds: 7_200 },
  { path: call, tool: "any_*", maxRequests: 3, windowSeconds: hour },
  { path: call, server: "second", tool: "placed", maxRequests: 3, windowSeconds: hour },
  { path: "/mcp/tools/list", per: "tenant", maxRequests: 2, windowSeconds: hour },
  { path: call, tool: "edited", maxRequests: 5, windowSeconds: hour },
  ...more,
];
const tenant = (limits: object[], more: object = {}) => ({
  agents: ["a-1", "a-2"],
  mcp: { endpoints: ["first", "second"].map((name) => ({ name, url: upstream.url, listCacheSeconds: 0 })) },
  accessRules: [{ agentPattern: "*", allowedTools: ["*"], deniedTools: ["*_denied"] }],
  limits,
  ...more,
});
const tenants = (limits = limitsOf()) => ({
  acme: tenant(limits),
  one: tenant([{ path: call, maxRequests: 3, windowSeconds: hour }], {
    mcp: { endpoints: [{ name: "only", url: upstream.url }] },
  }),
  soft: tenant([{ path: call, maxRequests: 1, windowSeconds: hour }], { settings: { denied_status: 200 } }),
});

beforeAll(async () => {
  upstream = stack.use(await FakeUpstream.start());
  house = stack.use(await startTestHouse({ tenants: tenants(), replicas: { ingress: 2, "rate-limit": 2 } }));
});
afterAll(() => stack.disposeAsync());
beforeEach(() => {
  upstream.handler = answerEcho;
  upstream.requests.splice(0);
});

interface At {
  readonly agent?: string;
  readonly path?: string;
  readonly name?: string;
  readonly replica?: number;
}
const post = (body: string, { agent = "a-1", path = "/mcp/first", name = "acme", replica = 0 }: At = {}) =>
  send(`${house.house.of("ingress")[replica]?.url}${path}`, { headers: as(house.key(agent, name)), body });
const use = (tool: string, at: At = {}) => post(toolCall(tool), at);
const statusesOf = async (count: number, once: (index: number) => Promise<Answer>) => {
  const statuses: number[] = [];
  for (let index = 0; index < count; index++) statuses.push((await once(index)).status);
  return statuses;
};
const quotaOf = ({ headers }: Answer) => [headers["ratelimit-policy"], headers["ratelimit"]];

describe("an answer says of each limit that counted the call", () => {
  const policy = '"minute";q=4;w=3600;sluice-burst=1, "day";q=9;w=86400, "day:concurrent";q=7;qu="concurrent-requests"';

  it("its quota and what is left (RateLimit-Policy, RateLimit); 429 says which one refused, and when it passes again", async () => {
    const told = [];
    for (let index = 0; index < 5; index++) told.push(quotaOf(await use("told", { replica: index % 2 })));
    const left = (minute: number, day: number) => [
      policy,
      // That the call before has ended may be heard a moment after this one began.
      expect.stringMatching(`^"minute";r=${minute};t=3600, "day";r=${day};t=86400, "day:concurrent";r=[56]$`),
    ];
    expect(told).toEqual([left(4, 8), left(3, 7), left(2, 6), left(1, 5), left(0, 4)]);
    const refused = await use("told");
    const retryAfter = refused.headers["retry-after"];
    expect([refused.status, ...quotaOf(refused)]).toEqual([
      429,
      '"minute";q=4;w=3600;sluice-burst=1',
      `"minute";r=0;t=${retryAfter}`,
    ]);
    expect(Number(retryAfter)).toBeLessThanOrEqual(3_672);
  });

  it("in place of what the upstream says of its own; also as a stream, on a method's path, and where refusals have status 200", async () => {
    const own = { "ratelimit-policy": '"theirs";q=1', ratelimit: '"theirs";r=1' };
    upstream.handler = ({ message }, response) =>
      answerJson(response, { jsonrpc: "2.0", id: message?.id, result: {} }, own);
    const mine = /^"limits\[6\]";q=3;w=3600$/;
    expect((await use("any_quota")).headers["ratelimit-policy"]).toMatch(mine);
    expect((await use("free")).headers["ratelimit-policy"]).toBe(own["ratelimit-policy"]);
    upstream.handler = answerEcho;
    const plain = await post('{"name":"plain","arguments":{}}', { path: "/mcp/tools/call", name: "one" });
    expect([plain.status, ...quotaOf(plain)]).toEqual([200, '"limits[0]";q=3;w=3600', '"limits[0]";r=2;t=3600']);
    upstream.handler = ({ message }, response) => {
      const text = JSON.stringify({ jsonrpc: "2.0", id: message?.id, result: {} });
      response.writeHead(200, { "content-type": "text/event-stream" }).end(`data: ${text}\n\n`);
    };
    const stream = await use("any_stream");
    expect([stream.headers["content-type"], stream.headers["ratelimit"]]).toEqual([
      "text/event-stream",
      '"limits[6]";r=2;t=3600',
    ]);
    expect((await use("x", { name: "soft" })).headers["ratelimit"]).toBe('"limits[0]";r=0;t=3600');
    const soft = await use("x", { name: "soft" });
    const { error, message } = JSON.parse(soft.text).error.data;
    expect([soft.status, error]).toEqual([200, "agent_rate_limited"]);
    expect(message).toBe(`rate limit reached (limits[0]): try again in ${soft.headers["retry-after"]} s`);
    expect(soft.headers["ratelimit"]).toBe(`"limits[0]";r=0;t=${soft.headers["retry-after"]}`);
  });

  it("and nothing where no limit applies, or the rules denied it", async () => {
    expect(quotaOf(await use("free"))).toEqual([undefined, undefined]);
    expect(quotaOf(await use("any_denied"))).toEqual([undefined, undefined]);
  });
});

describe("a limit", () => {
  it("per tenant counts all its agents together, and per owner all of that owner's", async () => {
    for (const tool of ["shared", "owned"])
      expect(await statusesOf(5, (index) => use(tool, { agent: `a-${(index % 2) + 1}`, replica: index % 2 }))).toEqual([
        200, 200, 200, 429, 429,
      ]);
  });

  it("beside another lets a call pass only where both do, and a call that one refuses counts in neither", async () => {
    const redis = new Redis(house.house.parts.redis.url);
    const before = await redis.keys("gw:rl:*");
    expect(await statusesOf(6, () => use("narrow"))).toEqual([200, 200, 429, 429, 429, 429]);
    const made = (await redis.keys("gw:rl:*")).filter((key) => !before.includes(key));
    expect(await Promise.all(made.map((key) => redis.hget(key, "t")))).toEqual(["2", "2"]);
    redis.disconnect();
  });

  it("of a server counts calls by its address and by its prefix; at the address of all also those that may be its", async () => {
    expect(await statusesOf(5, () => use("placed", { path: "/mcp/first" }))).toEqual([200, 200, 200, 200, 200]);
    expect((await use("placed", { path: "/mcp/second" })).status).toBe(200);
    const statuses = async (tool: string) => (await use(tool, { path: "/mcp" })).status;
    expect(await statuses("first_placed")).not.toBe(429);
    expect(await statuses("second_placed")).not.toBe(429);
    expect(await statuses("placed")).not.toBe(429);
    expect(await statuses("second_placed")).toBe(429);
    expect(await statuses("placed")).toBe(429);
    expect(await statuses("first_placed")).not.toBe(429);
  });

  it("counts each message of a batch, and a list that is gathered from all servers once", async () => {
    const batch = (tool: string) => `[${[1, 2, 3, 4].map((id) => toolCall(tool, {}, id)).join()}]`;
    const answers = JSON.parse((await post(batch("any_batch"))).text) as { error?: { code: number } }[];
    expect(answers.map(({ error }) => error?.code)).toEqual([undefined, undefined, undefined, 1429]);
    upstream.handler = ({ message }, response) =>
      answerJson(response, { jsonrpc: "2.0", id: message?.id, result: { tools: [] } });
    const list = '{"jsonrpc":"2.0","id":1,"method":"tools/list"}';
    expect(await statusesOf(3, () => post(list, { path: "/mcp" }))).toEqual([200, 200, 429]);
  });
});

describe("a call that the rules deny", () => {
  it("takes nothing from its limit, and leaves nothing in Redis for the names that it made up", async () => {
    const redis = new Redis(house.house.parts.redis.url);
    const keys = async () => (await redis.keys("gw:rl:*")).length;
    const before = await keys();
    const names = Array.from({ length: 40 }, (_, index) => `any_${index % 20}_denied`);
    const answers = await Promise.all(names.map((name, index) => use(name, { replica: index % 2 })));
    expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([403]));
    await until("what was counted to be given back", async () => (await keys()) <= before + 1);
    redis.disconnect();
    await house.configure({
      ...tenants(),
      acme: tenant(limitsOf(), { accessRules: [{ agentPattern: "*", allowedTools: ["*"] }] }),
    });
    await until("the permission", async () => (await use("other_denied")).status === 200);
    expect(await statusesOf(4, () => use("any_0_denied"))).toEqual([200, 200, 200, 429]);
  });
});

describe("an edit under load", () => {
  it("of a limit counts in every replica at once with what was counted before; other limits go on as they were", async () => {
    expect(await statusesOf(3, (index) => use("edited", { replica: index % 2 }))).toEqual([200, 200, 200]);
    let isOver = false;
    const failures: number[] = [];
    const load = async (replica: number) => {
      while (!isOver) {
        const { status } = await use("free", { replica });
        if (status !== 200) failures.push(status);
      }
    };
    const loads = [load(0), load(1)];
    const edit = async (maxRequests: number, probe: { maxRequests: number; expected: number }) => {
      const added = { path: call, tool: `probe-${maxRequests}`, maxRequests: probe.maxRequests, windowSeconds: hour };
      const limits = limitsOf([added]).map((limit) =>
        "tool" in limit && limit.tool === "edited" ? { ...limit, maxRequests } : limit,
      );
      await house.configure(tenants(limits.toReversed()));
      for (const replica of [0, 1])
        await until("the edit", async () => (await use(`probe-${maxRequests}`, { replica })).status === probe.expected);
    };
    await edit(2, { maxRequests: 0, expected: 429 });
    expect((await use("edited")).status).toBe(429);
    await edit(7, { maxRequests: 0, expected: 429 });
    expect(await statusesOf(5, (index) => use("edited", { replica: index % 2 }))).toEqual([200, 200, 200, 200, 429]);
    expect((await use("shared")).status).toBe(429);
    isOver = true;
    await Promise.all(loads);
    expect(failures).toEqual([]);
  });
});

describe("refusals", () => {
  it("are counted by tenant and limit", async () => {
    const lines = await Promise.all(
      house.house
        .of("rate-limit")
        .map(async ({ health }) => (await (await fetch(`${health}/metrics`)).text()).split("\n")),
    );
    const counted = lines.flat().filter((line) => line.startsWith("sluice_rate_limit_refusals_total{"));
    const limits = new Set(counted.map((line) => /tenant="(\w+)",limit="([^"]+)"/.exec(line)?.slice(1).join(" ")));
    expect(limits).toContain("acme minute");
    expect(limits).toContain("soft limits[0]");
  });
});
