import { randomBytes } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { FakeUpstream, startTestHouse, until, type TestHouse } from "@sluice/testing";
import { afterAll, beforeAll, expect, it } from "vitest";
import { as, send, toolCall } from "./http.ts";

const awayMs = 60_000;
const callEveryMs = 250;
const callsAtOnce = 16;
const stack = new AsyncDisposableStack();
let house: TestHouse;

beforeAll(async () => {
  const upstream = stack.use(await FakeUpstream.start());
  house = stack.use(
    await startTestHouse({
      envOf: { control: { AUDIT_MAX_BYTES: String(1 << 20) } },
      tenants: {
        acme: {
          agents: ["a-1"],
          mcp: { endpoints: [{ name: "main", url: upstream.url }] },
          accessRules: [{ agentPattern: "*", allowedTools: ["*"] }],
        },
      },
    }),
  );
});
afterAll(() => stack.disposeAsync());

/** The traces of calls that were answered 200, in the order of their answers. */
const done: string[] = [];

async function call() {
  const trace = randomBytes(16).toString("hex");
  const headers = as(house.key("a-1"), { traceparent: `00-${trace}-${randomBytes(8).toString("hex")}-00` });
  const answer = await send(`${house.house.url}/mcp`, { headers, body: toolCall("echo") });
  if (answer.status === 200) done.push(trace);
  return answer;
}

/** Calls more and more until one is not taken. */
async function untilRefused() {
  for (;;) {
    const answers = await Promise.all(Array.from({ length: callsAtOnce }, call));
    const refused = answers.find(({ status }) => status !== 200);
    if (refused !== undefined) return refused;
  }
}

it("A39: while Postgres is away for a minute calls go on and their events wait; A41: where NATS' store is full they get 503 with Retry-After; then all is stored in order and calls go on", async () => {
  const { postgres } = house.house.parts;
  await call();
  await postgres.stop();
  const downAt = Date.now();
  while (Date.now() - downAt < awayMs) {
    expect((await call()).status).toBe(200);
    await sleep(callEveryMs);
  }
  const oneByOne = done.length;
  const refused = await untilRefused();
  expect(refused.status).toBe(503);
  expect(Number(refused.headers["retry-after"])).toBeGreaterThan(0);
  await postgres.restart();
  await until("a call is taken again", async () => (await call()).status === 200, 30_000);
  const count = async (where: string) =>
    (await house.query<{ n: number }>(`select count(*)::int as n from audit_calls where ${where}`).catch(() => []))[0]
      ?.n;
  await until("every call is stored", async () => (await count("status = 200")) === done.length, 60_000);
  await until("every call has its end", async () => (await count("state <> 'done'")) === 0, 60_000);
  const rows = await house.query<{ trace: string; status: number }>(
    "select trace, status from audit_calls where status = 200 order by log, leaf_index",
  );
  expect(rows.map(({ trace }) => trace).slice(0, oneByOne)).toEqual(done.slice(0, oneByOne));
  expect(new Set(rows.map(({ trace }) => trace))).toEqual(new Set(done));
  expect(rows).toHaveLength(done.length);
  expect(await count("status = 503")).toBeGreaterThan(0);
}, 240_000);

const isReady = async () => (await fetch(`${house.house.of("ingress")[0]?.health}/ready`)).status === 200;

it("A39: while NATS is away calls get 503 with Retry-After, ingress is not ready, and it comes back by itself", async () => {
  const { nats } = house.house.parts;
  expect(await isReady()).toBe(true);
  await nats.stop();
  await until("ingress is not ready", async () => !(await isReady()));
  const answers = await Promise.all(Array.from({ length: 20 }, call));
  expect(answers.map(({ status }) => status)).toEqual(answers.map(() => 503));
  for (const { headers } of answers) expect(Number(headers["retry-after"])).toBeGreaterThan(0);
  await nats.restart();
  await until("a call is taken again", async () => (await call()).status === 200, 30_000);
  expect(await isReady()).toBe(true);
}, 120_000);

it("A39: while Redis is away calls that name a session get 503 with Retry-After, the others go on, and it comes back by itself", async () => {
  const { redis } = house.house.parts;
  const url = `${house.house.url}/mcp`;
  const inSession = () =>
    send(url, { headers: as(house.key("a-1"), { "mcp-session-id": "0".repeat(32) }), body: toolCall("echo") });
  expect((await inSession()).status).toBe(404);
  await redis.stop();
  const refused = await inSession();
  expect(refused.status).toBe(503);
  expect(Number(refused.headers["retry-after"])).toBeGreaterThan(0);
  expect((await call()).status).toBe(200);
  await redis.restart();
  await until("sessions are known again", async () => (await inSession()).status === 404, 30_000);
}, 120_000);
