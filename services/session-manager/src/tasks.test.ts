import { randomUUID } from "node:crypto";
import type { Redis } from "ioredis";
import pg from "pg";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import type { Intent, Named } from "@sluice/contracts";
import { noPushConfigs } from "./push-named.ts";
import { admitTasks } from "./task-admission.ts";
import { questionOf, taskListOf } from "./task-list.ts";
import type { TaskWriter } from "./task-writer.ts";
import type { KeptTasks } from "./tasks.ts";
import { admitted, ana, bob, patience, same, startTasksWorld, upstreamOf, type TasksWorld } from "./tasks-world.ts";

const watch = { egress: "e1", stream: "i1.1" };
let world: TasksWorld;
let tasks: KeptTasks;
let redis: Redis;
let writer: TaskWriter;

beforeAll(async () => {
  world = await startTasksWorld(process.env);
  ({ tasks, redis, writer } = await world.replica());
}, 120_000);

afterAll(() => world?.[Symbol.asyncDispose]());

const admit = (caller: typeof ana, named: Named) => admitted(tasks, caller, named);

async function taskOf(caller: typeof ana): Promise<{ task: string; context: string }> {
  const [task, context] = [randomUUID(), randomUUID()];
  const registration = { ...caller, task: same(task), context: same(context), stateAt: 1_000, watch };
  expect(await tasks.register({ ...registration, state: "TASK_STATE_WORKING" })).toBe(true);
  return { task, context };
}

describe("a task", () => {
  it("A22: is its caller's alone: another's answer is what an unknown one gets, of whatever tenant, agent or caller", async () => {
    const { task, context } = await taskOf(ana);
    expect(await admit(ana, { task, context, references: [task] })).toEqual({
      ok: true,
      known: { task: { id: task, context, state: "TASK_STATE_WORKING", watch } },
    });
    const unknown = await admit(bob, { task: randomUUID() });
    expect(unknown).toEqual({ ok: false });
    for (const other of [bob, { ...ana, tenant: "other" }, { ...ana, server: "coder" }]) {
      expect(await admit(other, { task })).toEqual(unknown);
      expect(await admit(other, { references: [task] })).toEqual(unknown);
      expect(await tasks.register({ ...other, task: same(task), stateAt: 1 })).toBe(other.identity !== "bob");
    }
    const [nobody] = await admitTasks([{ ...ana, identity: undefined, a2a: { task } } as unknown as Intent], {
      tasks,
      pushConfigs: noPushConfigs,
    });
    expect(nobody).toEqual(unknown);
  });

  it("is the first one's, and nothing of another's registration is kept", async () => {
    const { task, context } = await taskOf(ana);
    const mine = randomUUID();
    expect(await tasks.register({ ...bob, task: same(mine), context: same(context), stateAt: 1 })).toBe(false);
    expect(await tasks.register({ ...bob, task: same(task), context: same(mine), stateAt: 1 })).toBe(false);
    expect(await admit(bob, { task: mine })).toEqual({ ok: false });
    expect(await tasks.register({ ...ana, task: same(mine), stateAt: 1 })).toBe(true);
    const both = [ana, bob].map((caller) => tasks.register({ ...caller, task: same("raced"), stateAt: 1 }));
    expect((await Promise.all(both)).filter(Boolean)).toHaveLength(1);
  });

  it("keeps its newest state, whatever comes late, and its first watch until that is changed on purpose", async () => {
    const { task, context } = await taskOf(ana);
    const told = (state: string, stateAt: number) => tasks.register({ ...ana, task: same(task), state, stateAt });
    await told("TASK_STATE_COMPLETED", 3_000);
    await told("TASK_STATE_INPUT_REQUIRED", 2_000);
    await told("TASK_STATE_WORKING", 3_000);
    const known = (more: object) => ({ ok: true, known: { task: { id: task, context, ...more } } });
    const state = "TASK_STATE_COMPLETED";
    expect(await admit(ana, { task })).toEqual(known({ state, watch }));
    const next = { egress: "e2", stream: "i2.7" };
    const change = { tenant: ana.tenant, server: ana.server, task };
    expect(await tasks.watch({ ...change, watch: next })).toEqual({ ok: false, watch });
    expect(await tasks.watch({ ...change, expected: watch, watch: next })).toEqual({ ok: true });
    await redis.flushall();
    await vi.waitFor(() => expect(writer.size).toBe(0), patience);
    expect(await admit(ana, { task })).toEqual(known({ state, watch: next }));
    expect(await tasks.watch({ ...change, expected: next })).toEqual({ ok: true });
    expect(await admit(ana, { task })).toEqual(known({ state }));
    expect(await tasks.watch({ ...change, task: "unknown", watch })).toEqual({ ok: false });
  });
});

describe("a name that the caller chose", () => {
  it("A22: is the caller's as it is where nobody has it, and a made-up one where another has, the same each time", async () => {
    const { task, context } = await taskOf(ana);
    const free = randomUUID();
    expect(await admit(bob, { context: free })).toEqual({ ok: true, known: {} });
    const verdict = await admit(bob, { context });
    const upstream = upstreamOf(verdict, "contexts", context);
    expect(upstream).toMatch(/^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/);
    expect(await admit(bob, { context })).toEqual(verdict);
    expect(await tasks.register({ ...bob, context: { client: context, upstream }, stateAt: 1 })).toBe(true);
    await redis.flushall();
    expect(await admit(bob, { context })).toEqual(verdict);
    expect(await admit(ana, { context })).toEqual({ ok: true, known: {} });
    const made = await admit(bob, { task, mayBeNew: true });
    expect(upstreamOf(made, "tasks", task)).not.toBe(task);
    expect(made).not.toHaveProperty("known.task");
  });

  it("is renamed where the agent chooses too; the agent's own name is then none of the caller's", async () => {
    const [client, upstream] = [randomUUID(), randomUUID()];
    expect(await admit(ana, { task: client, mayBeNew: true })).toEqual({ ok: true, known: {} });
    expect(await tasks.register({ ...ana, task: { client, upstream }, stateAt: 1 })).toBe(true);
    expect(await admit(ana, { task: client, mayBeNew: true })).toMatchObject({
      known: { task: { id: upstream }, renames: { tasks: [{ client, upstream }] } },
    });
    expect(await admit(ana, { task: upstream })).toEqual({ ok: false });
    expect(upstreamOf(await admit(ana, { task: upstream, mayBeNew: true }), "tasks", upstream)).not.toBe(upstream);
  });

  it("of a context comes with each of its tasks", async () => {
    const [task, client, upstream] = [randomUUID(), randomUUID(), randomUUID()];
    await tasks.register({ ...ana, task: same(task), context: { client, upstream }, stateAt: 1 });
    const expected = {
      ok: true,
      known: { task: { id: task, context: upstream }, renames: { contexts: [{ client, upstream }] } },
    };
    expect(await admit(ana, { task })).toEqual(expected);
    await redis.flushall();
    expect(await admit(ana, { task })).toEqual(expected);
    expect(await admit(ana, { task })).toEqual(expected);
  });
});

describe("lists", () => {
  it("hold a caller's own tasks by the change of their state, page by page, and a cursor for one question only", async () => {
    const caller = { ...ana, identity: randomUUID() };
    const context = same("of the list");
    const states = ["TASK_STATE_WORKING", "TASK_STATE_COMPLETED", "TASK_STATE_WORKING"];
    for (const [index, state] of states.entries())
      await tasks.register({
        ...caller,
        task: same(`${caller.identity}${index}`),
        state,
        stateAt: 100 + index,
        ...(index > 0 && { context: { ...context, upstream: caller.identity } }),
      });
    const page = async (asked: object) => {
      const question = questionOf({ ...caller, limit: 2, ...asked });
      return question === undefined ? undefined : taskListOf(question, await tasks.list(question));
    };
    const ids = (list: Awaited<ReturnType<typeof page>>) => list?.tasks.map(({ id }) => id.at(-1));
    const first = await page({});
    expect([ids(first), first?.total]).toEqual([["2", "1"], 3]);
    expect(first?.tasks[0]?.renames).toEqual({ contexts: [{ client: context.client, upstream: caller.identity }] });
    const second = await page({ cursor: first?.cursor });
    expect([ids(second), second?.total, second?.cursor]).toEqual([["0"], 3, undefined]);
    expect(ids(await page({ state: "TASK_STATE_WORKING" }))).toEqual(["2", "0"]);
    expect(ids(await page({ since: 101, limit: 5 }))).toEqual(["2", "1"]);
    expect(ids(await page({ context: context.client, limit: 5 }))).toEqual(["2", "1"]);
    expect(await page({ ...bob, context: context.client })).toEqual({ tasks: [], total: 0 });
    for (const cursor of [first?.cursor, "x", ""]) expect(await page({ cursor, since: 1 })).toBeUndefined();
  });
});

describe("what is forgotten", () => {
  const of = { ...ana, tenant: "forgetful" };
  const ended = { state: "TASK_STATE_COMPLETED", stateAt: 1 };

  it("is what nobody touched for long, in Redis too, and of a caller that has too much what ended first", async () => {
    for (const task of ["old", "young"]) await tasks.register({ ...of, task: same(task), stateAt: 1 });
    const crowd = { ...of, identity: "crowd" };
    await tasks.register({ ...crowd, task: same("goes on"), stateAt: 1 });
    for (const task of ["ended 1", "ended 2", "ended 3"])
      await tasks.register({ ...crowd, task: same(task), ...ended });
    const client = new pg.Client({ connectionString: world.postgres.url });
    await client.connect();
    await client.query("update a2a_names set touched_at = now() - interval '2 hours' where upstream = 'old'");
    await client.end();
    const small = await world.replica({ ttlSeconds: 3_600, mostPerCaller: 2 });
    const known = async () => {
      const asked = [of, of, crowd, crowd, crowd, crowd];
      const names = ["old", "young", "goes on", "ended 1", "ended 2", "ended 3"];
      const verdicts = await Promise.all(
        names.map((task, index) => admitted(small.tasks, asked[index] ?? of, { task })),
      );
      return names.filter((_, index) => verdicts[index]?.ok);
    };
    await vi.waitFor(async () => expect(await known()).toEqual(["young", "goes on", "ended 3"]), patience);
  });
});
