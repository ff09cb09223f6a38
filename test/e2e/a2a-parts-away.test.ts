import { randomUUID } from "node:crypto";
import { startTestHouse, until, type TestHouse } from "@sluice/testing";
import { afterAll, afterEach, beforeAll, expect, it } from "vitest";
import { startAgent, type ReferenceAgent } from "../conformance-a2a/agents/agent.ts";
import { caller, rpcBody, rpcOf, sendBody, taskOf, tenantWith } from "./a2a.ts";

const version = { "a2a-version": "1.0" };
let agent: ReferenceAgent;
let house: TestHouse;

beforeAll(async () => {
  agent = await startAgent("1.0");
  house = await startTestHouse({
    tenants: { acme: tenantWith({ one: { agent } }) },
    replicas: { "session-manager": 2 },
  });
});
afterAll(async () => {
  await house?.[Symbol.asyncDispose]();
  await agent?.[Symbol.asyncDispose]();
});

const ask = (body: string, key = "a-1") => caller(`${house.house.url}/a2a/one`, house.key(key))(body, version);
const begin = async () => taskOf(await ask(sendBody("1.0", "input"))).id;
const get = (id: string, key = "a-1") => ask(rpcBody("GetTask", { id }), key);

/** Until every replica sees its parts. */
const whole = () =>
  until(
    "all replicas are well",
    async () => {
      const states = await Promise.all(
        house.house.of("session-manager").map(async ({ health }) => (await fetch(`${health}/health`)).json()),
      );
      return (states as { status: string; postgres: string }[]).every(
        ({ status, postgres }) => status === "healthy" && postgres === "connected",
      );
    },
    30_000,
  );

afterEach(async () => {
  await house.house.parts.postgres.restart();
  await house.house.parts.redis.restart();
  await whole();
});

it("A39: without Redis tasks go on, as their callers' alone, and what began then is known after", async () => {
  const old = await begin();
  await house.house.parts.redis.kill("SIGKILL");
  await until("a task is known", async () => (await get(old)).status === 200);
  const young = await begin();
  expect(rpcOf(await get(young)).result).toMatchObject({ id: young });
  expect(rpcOf(await get(young, "b-1")).error?.code).toBe(-32001);
  await house.house.parts.redis.restart();
  await whole();
  for (const id of [old, young]) {
    expect(rpcOf(await get(id)).result).toMatchObject({ id });
    expect(rpcOf(await get(id, "b-1")).error?.code).toBe(-32001);
  }
});

it("A39: without Postgres tasks in use and new ones go on; unknown and another's alike get 503 with Retry-After", async () => {
  const old = await begin();
  await house.house.parts.postgres.stop();
  expect(rpcOf(await get(old)).result).toMatchObject({ id: old });
  const young = await begin();
  expect(rpcOf(await get(young)).result).toMatchObject({ id: young });
  for (const id of [old, young, randomUUID()]) {
    const answer = await get(id, "b-1");
    expect([answer.status, Number(answer.headers["retry-after"])]).toEqual([503, expect.any(Number)]);
  }
  await house.house.parts.postgres.restart();
  await until("it is stored", async () => (await stored(young)) === 1, 30_000);
  expect(rpcOf(await get(young, "b-1")).error?.code).toBe(-32001);
});

it("A39: without both a call that names a task gets 503, and it comes back by itself", async () => {
  const id = await begin();
  await house.house.parts.postgres.stop();
  await house.house.parts.redis.kill("SIGKILL");
  await until("it is refused", async () => (await get(id)).status === 503);
  await house.house.parts.redis.restart();
  await house.house.parts.postgres.restart();
  await until("it is back", async () => (await get(id)).status === 200, 30_000);
});

async function stored(task: string): Promise<number> {
  const rows = await house.queryTasks("select 1 from a2a_names where upstream = $1", [task]).catch(() => []);
  return rows.length;
}
