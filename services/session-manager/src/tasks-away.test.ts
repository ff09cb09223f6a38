import { randomUUID } from "node:crypto";
import pg from "pg";
import { afterEach, beforeAll, afterAll, describe, expect, it, vi } from "vitest";
import type { KeptTasks } from "./tasks.ts";
import {
  admitted,
  ana,
  bob,
  patience,
  same,
  startTasksWorld,
  type TasksReplica,
  type TasksWorld,
} from "./tasks-world.ts";

let world: TasksWorld;
let replica: TasksReplica;
let tasks: KeptTasks;

beforeAll(async () => {
  world = await startTasksWorld(process.env);
  replica = await world.replica();
  tasks = replica.tasks;
  expect(await tasks.register({ ...ana, task: same(randomUUID()), stateAt: 1 })).toBe(true);
}, 120_000);

afterAll(() => world?.[Symbol.asyncDispose]());

afterEach(async () => {
  await world.postgres.restart();
  await world.redis.restart();
  await vi.waitFor(() => expect(replica.upkeep.isPostgresThere).toBe(true), patience);
  await vi.waitFor(() => expect(replica.redis.status).toBe("ready"), patience);
});

const register = (task: string, by = tasks, caller = ana) => by.register({ ...caller, task: same(task), stateAt: 1 });
const admit = (task: string, by = tasks, caller = ana) => admitted(by, caller, { task });

async function stored(): Promise<string[]> {
  const client = new pg.Client({ connectionString: world.postgres.url });
  await client.connect();
  const { rows } = await client.query<{ upstream: string }>("select upstream from a2a_names");
  await client.end();
  return rows.map(({ upstream }) => upstream);
}

async function redisDown(): Promise<void> {
  await world.redis.kill("SIGKILL");
  await vi.waitFor(() => expect(replica.redis.status).not.toBe("ready"), patience);
}

describe("A39: while Redis is away", () => {
  it("tasks are known, kept and watched by Postgres alone, and what Redis knew of them is not believed after", async () => {
    const [old, young] = [randomUUID(), randomUUID()];
    await register(old);
    await vi.waitFor(() => expect(replica.writer.size).toBe(0), patience);
    await redisDown();
    const watch = { egress: "e1", stream: "i1.1" };
    expect(await register(young)).toBe(true);
    expect(await tasks.watch({ ...ana, task: young, watch })).toEqual({ ok: true });
    const state = "TASK_STATE_COMPLETED";
    expect(await tasks.register({ ...ana, task: same(old), state, stateAt: 2 })).toBe(true);
    expect(await register(young, tasks, bob)).toBe(false);
    expect(await admit(young)).toEqual({ ok: true, known: { task: { id: young, watch } } });
    expect(await admit(young, tasks, bob)).toEqual({ ok: false });
    await world.redis.restart();
    await vi.waitFor(() => expect(replica.redis.status).toBe("ready"), patience);
    for (let time = 0; time < 2; time++) {
      expect(await admit(old)).toEqual({ ok: true, known: { task: { id: old, state } } });
      expect(await admit(young, tasks, bob)).toEqual({ ok: false });
    }
  }, 60_000);
});

describe("A39: while Postgres is away", () => {
  it("Redis answers for what it knows, what it does not know stays unanswered, and new tasks are stored later", async () => {
    const [old, young] = [randomUUID(), randomUUID()];
    await register(old);
    await world.postgres.stop();
    expect(await admit(old)).toMatchObject({ ok: true });
    for (const name of [randomUUID(), old]) await expect(admit(name, tasks, bob)).rejects.toThrow();
    expect(await register(young)).toBe(true);
    expect(await register(young, tasks, bob)).toBe(false);
    expect(await admit(young)).toEqual({ ok: true, known: { task: { id: young } } });
    await world.postgres.restart();
    await vi.waitFor(async () => expect(await stored()).toEqual(expect.arrayContaining([old, young])), patience);
    await vi.waitFor(async () => expect(await replica.redis.hlen("gw:a2a:unstored")).toBe(0), patience);
    expect(await admit(young, tasks, bob)).toEqual({ ok: false });
  }, 60_000);

  it("a task that was acknowledged is lost neither by the end of its replica nor by that of Redis", async () => {
    const [first, second] = [randomUUID(), randomUUID()];
    const dying = await world.replica();
    await world.postgres.stop();
    expect(await register(first, dying.tasks)).toBe(true);
    // Disposed while Postgres is away, it has told nobody but Redis.
    await dying[Symbol.asyncDispose]();
    expect(dying.writer.size).toBeGreaterThan(0);
    await world.postgres.restart();
    await vi.waitFor(async () => expect(await stored()).toContain(first), patience);
    await vi.waitFor(() => expect(replica.upkeep.isPostgresThere).toBe(true), patience);
    await world.postgres.stop();
    expect(await register(second)).toBe(true);
    await replica.redis.flushall();
    await world.postgres.restart();
    await vi.waitFor(async () => expect(await stored()).toContain(second), patience);
    expect(await admit(second)).toMatchObject({ ok: true });
  }, 60_000);

  it("no more is taken than may wait", async () => {
    const small = await world.replica({ mostUnstored: 2 });
    await world.postgres.stop();
    const results = await Promise.allSettled(Array.from({ length: 5 }, () => register(randomUUID(), small.tasks)));
    expect(results.filter(({ status }) => status === "fulfilled").length).toBeLessThanOrEqual(2);
    await expect(register(randomUUID(), small.tasks)).rejects.toThrow();
  }, 60_000);
});

it("A39: without both nothing is answered, and it comes back by itself", async () => {
  const task = randomUUID();
  await register(task);
  await vi.waitFor(() => expect(replica.writer.size).toBe(0), patience);
  await world.postgres.stop();
  await redisDown();
  await expect(admit(task)).rejects.toThrow();
  await expect(register(randomUUID())).rejects.toThrow();
  await world.redis.restart();
  await world.postgres.restart();
  await vi.waitFor(async () => expect(await admit(task)).toMatchObject({ ok: true }), patience);
}, 60_000);
