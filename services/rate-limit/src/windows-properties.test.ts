import { randomUUID } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { slotLifeMs, type CountedWindow } from "@sluice/contracts";
import { startRedis, type Part } from "@sluice/launcher";
import { closeRedis, openRedis } from "@sluice/runtime/redis";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { LocalWindows } from "./windows-local.ts";
import { RedisWindows } from "./windows-redis.ts";
import { subWindows, type Windows, type WindowTake } from "./windows.ts";

let dataDir: string;
let part: Part;
let redis: ReturnType<typeof openRedis>;

beforeAll(async () => {
  dataDir = await mkdtemp(join(tmpdir(), "sluice-properties-"));
  const { REDIS_URL: _, ...env } = process.env;
  part = await startRedis({ dataDir, env });
  redis = openRedis({ url: part.url, timeoutMs: 30_000 });
  await redis.connect();
}, 120_000);

afterAll(async () => {
  await closeRedis(redis);
  await part?.stop();
  await rm(dataDir, { recursive: true, force: true });
});

interface World {
  readonly windows: Windows;
  /** Lets time pass. */
  wait(ms: number): Promise<void>;
  now(): number;
}

const start = 1_700_000_000_000;

function localWorld(): World {
  let now = start;
  return { windows: new LocalWindows({ now: () => now }), wait: async (ms) => void (now += ms), now: () => now };
}

function redisWorld(): World {
  let now = start;
  const clockKey = `test:clock:${randomUUID()}`;
  const windows = new RedisWindows(redis, `local now = tonumber(redis.call('GET', '${clockKey}') or ${start})`);
  const wait = async (ms: number) => void (await redis.set(clockKey, (now += ms)));
  return { windows, wait, now: () => now };
}

const worlds = [
  { name: "in memory", world: localWorld, runs: 300 },
  { name: "in Redis", world: redisWorld, runs: 60 },
];
const freshKey = (prefix = "gw:rl:") => `${prefix}${randomUUID()}`;

/** Limits with and without a burst, and moments that lie close to the edges of windows and their parts. */
const limits = fc.record({
  maxRequests: fc.integer({ min: 1, max: 12 }),
  burst: fc.constantFrom(0, 1, 3, 30),
  windowMs: fc.constantFrom(50_000, 100_000, 600_000),
});
const steps = fc.array(
  fc.record({
    waitShare: fc.oneof(fc.double({ min: 0, max: 0.05, noNaN: true }), fc.double({ min: 0, max: 2.2, noNaN: true })),
    calls: fc.oneof(fc.integer({ min: 1, max: 4 }), fc.integer({ min: 5, max: 40 })),
    givesBack: fc.boolean(),
  }),
  { minLength: 1, maxLength: 30 },
);

function takeOf({
  maxRequests,
  burst,
  windowMs,
}: {
  maxRequests: number;
  burst: number;
  windowMs: number;
}): WindowTake {
  return { key: freshKey(), limit: maxRequests + burst, windowMs, ...(burst > 0 && { sustained: maxRequests }) };
}

describe.each(worlds)("windows $name", ({ world, runs }) => {
  it("let no more than limit and burst pass in any span of a window, and no more than the limit for good; what is given back is not counted", async () => {
    await fc.assert(
      fc.asyncProperty(limits, steps, async (limit, sequence) => {
        const { windows, wait, now } = world();
        const take = takeOf(limit);
        const passed: number[] = [];
        for (const { waitShare, calls, givesBack } of sequence) {
          await wait(Math.round(waitShare * limit.windowMs));
          const counted: (readonly CountedWindow[])[] = [];
          for (const taken of await windows.take(Array.from({ length: calls }, () => [take])))
            if (taken.ok) counted.push(taken.counted.windows ?? []);
          const back = givesBack ? counted.splice(0, 1) : [];
          for (const each of back) await windows.give(1, each);
          passed.push(...counted.map(() => now()));
        }
        for (const [index, from] of passed.entries()) {
          for (let until = index; until < passed.length; until++) {
            const spanMs = (passed[until] ?? 0) - from;
            const count = until - index + 1;
            if (spanMs < limit.windowMs) expect(count).toBeLessThanOrEqual(limit.maxRequests + limit.burst);
            const sustained = (limit.maxRequests * (spanMs + limit.windowMs / subWindows)) / limit.windowMs;
            expect(count).toBeLessThanOrEqual(limit.maxRequests + limit.burst + sustained);
          }
        }
      }),
      { numRuns: runs },
    );
  }, 120_000);

  it("pass a call that waited as long as it was told, and nothing was taken by the one refused", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(limits, { minLength: 1, maxLength: 3 }), steps, async (several, sequence) => {
        const { windows, wait } = world();
        const takes = several.map(takeOf);
        for (const { waitShare, calls } of sequence) {
          await wait(Math.round(waitShare * (several[0]?.windowMs ?? 0)));
          for (let call = 0; call < calls; call++) {
            const [first] = await windows.take([takes]);
            if (first?.ok !== false) continue;
            const [again] = await windows.take([takes]);
            expect(again).toEqual(first);
            await wait(first.retryAfterSeconds * 1_000);
            expect(await windows.take([takes])).toMatchObject([{ ok: true }]);
          }
        }
      }),
      { numRuns: runs },
    );
  }, 120_000);

  it("never have more calls in flight than may be, however calls begin, end and fall silent; a refused call takes no slot and no window", async () => {
    const acts = fc.array(
      fc.oneof(
        fc.record({ kind: fc.constant("begin" as const), calls: fc.integer({ min: 1, max: 4 }), wide: fc.boolean() }),
        fc.record({ kind: fc.constantFrom("end" as const, "endTwice" as const), which: fc.nat(9) }),
        fc.record({ kind: fc.constant("silence" as const), which: fc.nat(9) }),
        fc.record({ kind: fc.constant("renew" as const), waitMs: fc.integer({ min: 0, max: slotLifeMs - 1 }) }),
      ),
      { maxLength: 40 },
    );
    await fc.assert(
      fc.asyncProperty(acts, fc.integer({ min: 1, max: 4 }), async (sequence, maxConcurrent) => {
        const { windows, wait, now } = world();
        const [own, all, wide] = [freshKey("gw:rs:"), freshKey("gw:rs:"), freshKey()];
        /** Calls in flight, and those whose ingress is gone, by when they count no more. */
        const inFlight = new Map<string, { keys: readonly string[]; silentUntil: number | undefined }>();
        const counting = (key: string) =>
          [...inFlight.values()].filter(
            ({ keys, silentUntil }) => keys.includes(key) && (silentUntil === undefined || silentUntil > now()),
          ).length;
        let names = 0;
        let counted = 0;
        for (const act of sequence) {
          const [id, call] =
            [...inFlight].filter(([, each]) => each.silentUntil === undefined).at(("which" in act && act.which) || 0) ??
            [];
          if (act.kind === "begin") {
            for (let begun = 0; begun < act.calls; begun++) {
              const slot = `call-${names++}`;
              const room = counting(own) < maxConcurrent && (!act.wide || counting(all) < maxConcurrent + 1);
              const [taken] = await windows.take([
                [
                  { key: wide, limit: 1_000_000, windowMs: 3_600_000 },
                  { key: own, slot, maxConcurrent },
                  ...(act.wide ? [{ key: all, slot, maxConcurrent: maxConcurrent + 1 }] : []),
                ],
              ]);
              expect(taken?.ok).toBe(room);
              if (taken?.ok !== true) continue;
              counted++;
              expect(taken.left[0]).toBe(1_000_000 - counted);
              expect(taken.counted.slot).toEqual({ id: slot, keys: act.wide ? [own, all] : [own] });
              inFlight.set(slot, { keys: act.wide ? [own, all] : [own], silentUntil: undefined });
              expect(counting(own)).toBeLessThanOrEqual(maxConcurrent);
            }
          } else if (act.kind === "renew") {
            const living = [...inFlight].filter(([, each]) => each.silentUntil === undefined);
            await windows.hold(living.map(([held, { keys }]) => ({ id: held, keys })));
            await wait(act.waitMs);
            await windows.hold(living.map(([held, { keys }]) => ({ id: held, keys })));
          } else if (id !== undefined && call !== undefined) {
            if (act.kind === "silence") {
              await windows.hold([{ id, keys: call.keys }]);
              call.silentUntil = now() + slotLifeMs;
            } else {
              for (let time = 0; time < (act.kind === "end" ? 1 : 2); time++)
                await windows.end([{ id, keys: call.keys }]);
              inFlight.delete(id);
            }
          }
        }
      }),
      { numRuns: runs },
    );
  }, 120_000);

  it("of tools that agents choose are no more than the bound in a window; those that are given back make room", async () => {
    const { windows, wait } = world();
    const bound = { key: freshKey(), limit: 3, windowMs: 60_000, ifNew: true };
    const use = async (name: string) => {
      const take = { key: `${bound.key}:${name}`, limit: 10, windowMs: 60_000 };
      return (await windows.take([[take, bound]]))[0];
    };
    for (const name of ["a", "b", "a", "a", "c", "b"]) expect(await use(name)).toMatchObject({ ok: true });
    expect(await use("d")).toMatchObject({ ok: false, refusedBy: 1 });
    expect(await use("a")).toMatchObject({ ok: true });
    await wait(62_000);
    const taken = await use("d");
    if (taken?.ok !== true) throw new Error("a new tool did not pass");
    for (let round = 0; round < 2; round++) await windows.give(1, taken.counted.windows ?? []);
    for (const name of ["e", "f", "g"]) expect(await use(name)).toMatchObject({ ok: true });
    expect(await use("d")).toMatchObject({ ok: false, refusedBy: 1 });
  });
});
