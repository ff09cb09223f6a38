import { randomUUID } from "node:crypto";
import fc from "fast-check";
import { afterAll, beforeAll, expect, it } from "vitest";
import { admitted, ana, startTasksWorld, upstreamOf, type TasksReplica, type TasksWorld } from "./tasks-world.ts";

let world: TasksWorld;
let replicas: readonly TasksReplica[];

beforeAll(async () => {
  world = await startTasksWorld(process.env);
  replicas = [await world.replica(), await world.replica()];
}, 120_000);

afterAll(() => world?.[Symbol.asyncDispose]());

const callers = ["ana", "bob", "eve"];
const id = fc.integer({ min: 0, max: 3 });
const common = { caller: fc.constantFrom(...callers), replica: fc.integer({ min: 0, max: 1 }) };
/** What agents answer: a task, a context or both, under names that the agent or the caller chose. */
const told = fc.record({
  ...common,
  what: fc.constant("told" as const),
  task: fc.option(id),
  context: fc.option(id),
  /** The caller's own name of the task, where clients choose (0.1), and that of its context. */
  calledTask: fc.option(id),
  calledContext: fc.option(id),
});
const asked = fc.record({ ...common, what: fc.constant("asked" as const), task: id, mayBeNew: fc.boolean() });
const flushed = fc.record({ ...common, what: fc.constant("flushed" as const) });
/** Each list happens at once. */
const history = fc.array(fc.array(fc.oneof({ weight: 4, arbitrary: told }, asked, flushed), { maxLength: 6 }), {
  maxLength: 8,
});

it("A22: whatever callers and agents do, in any order and at once, on any replica, nobody is given what is another's", async () => {
  await fc.assert(
    fc.asyncProperty(history, async (rounds) => {
      const run = randomUUID();
      const name = (kind: string, number: number) => `${run}-${kind}${number}`;
      const ownerOf = (identity: string) => ({ ...ana, identity, tenant: run });
      const owners = new Map<string, Set<string>>();
      const own = (upstream: string, identity: string) =>
        owners.set(upstream, (owners.get(upstream) ?? new Set()).add(identity));
      const step = async (one: (typeof rounds)[number][number]) => {
        const replica = replicas[one.replica] as TasksReplica;
        const owner = ownerOf(one.caller);
        if (one.what === "flushed") return void (await replica.redis.flushall());
        if (one.what === "asked") {
          const mayBeNew = one.mayBeNew ? { mayBeNew: true as const } : {};
          const verdict = await admitted(replica.tasks, owner, { task: name("t", one.task), ...mayBeNew });
          const known = verdict.ok ? verdict.known?.task : undefined;
          if (known !== undefined) own(known.id, one.caller);
          return;
        }
        const pair = (kind: string, number: number | null, called: number | null) =>
          number === null
            ? undefined
            : { upstream: name(kind, number), client: called === null ? name(kind, number) : name(kind, called) };
        const [task, context] = [pair("t", one.task, one.calledTask), pair("c", one.context, one.calledContext)];
        const registration = { ...owner, stateAt: 1, ...(task && { task }), ...(context && { context }) };
        if (!(await replica.tasks.register(registration))) return;
        for (const { upstream } of [task, context].filter((one_) => one_ !== undefined)) own(upstream, one.caller);
      };
      for (const round of rounds) await Promise.all(round.map(step));
      const look = async (replica: TasksReplica, caller: string, number: number, elsewhere = {}) => {
        const owner = { ...ownerOf(caller), ...elsewhere };
        const [task, context] = [name("t", number), name("c", number)];
        const plain = await admitted(replica.tasks, owner, { task });
        if (plain.ok) own(upstreamOf(plain, "tasks", task), caller);
        const chosen = await admitted(replica.tasks, owner, { task, context, mayBeNew: true });
        for (const upstream of [upstreamOf(chosen, "tasks", task), upstreamOf(chosen, "contexts", context)])
          if (owners.has(upstream)) own(upstream, owner.tenant === run ? caller : `${owner.tenant} ${caller}`);
      };
      const numbers = [0, 1, 2, 3];
      for (const replica of replicas)
        await Promise.all(
          [{}, { server: "the same agent" }, { tenant: `another than ${run}` }].flatMap((elsewhere) =>
            callers.flatMap((caller) => numbers.map((number) => look(replica, caller, number, elsewhere))),
          ),
        );
      for (const [upstream, identities] of owners) expect([upstream, [...identities]]).toHaveProperty("1.length", 1);
    }),
    { numRuns: 60 },
  );
}, 120_000);
