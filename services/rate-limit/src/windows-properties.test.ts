import { randomUUID } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { slotLifeMs, type CountedWindow, type Slot } from "@sluice/contracts";
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

interface Act {
  readonly calls: number;
  readonly wide: boolean;
  readonly which: number;
  readonly waitMs: number;
}
const acts = fc.array(
  fc.record({
    kind: fc.constantFrom("begin", "end", "endTwice", "silence", "renew"),
    calls: fc.integer({ min: 1, max: 4 }),
    wide: fc.boolean(),
    which: fc.nat(9),
    waitMs: fc.integer({ min: 0, max: slotLifeMs - 1 }),
  }),
  { maxLength: 40 },
);

/** What must be so after each act: calls in flight by name, and until when those count whose ingress is gone. */
class CallsInFlight {
  readonly #world: World;
  readonly #most: number;
  readonly #own = freshKey("gw:rs:");
  readonly #all = freshKey("gw:rs:");
  readonly #window = freshKey();
  readonly #calls = new Map<string, { slot: Slot; silentUntil: number }>();
  #names = 0;
  #passed = 0;

  constructor(world: World, most: number) {
    this.#world = world;
    this.#most = most;
  }

  async begin({ calls, wide }: Act): Promise<void> {
    for (let begun = 0; begun < calls; begun++) {
      const slot = `call-${this.#names++}`;
      const keys = wide ? [this.#own, this.#all] : [this.#own];
      const hasRoom = keys.every((key, index) => this.#counting(key) < this.#most + index);
      const slots = keys.map((key, index) => ({ key, slot, maxConcurrent: this.#most + index }));
      const window = { key: this.#window, limit: 1_000_000, windowMs: 3_600_000 };
      const [taken] = await this.#world.windows.take([[window, ...slots]]);
      expect(taken?.ok).toBe(hasRoom);
      if (taken?.ok !== true) continue;
      expect(taken.left[0]).toBe(window.limit - ++this.#passed);
      expect(taken.counted.slot).toEqual({ id: slot, keys });
      this.#calls.set(slot, { slot: { id: slot, keys }, silentUntil: Infinity });
      expect(this.#counting(this.#own)).toBeLessThanOrEqual(this.#most);
    }
  }

  async end({ which }: Act, times = 1): Promise<void> {
    const ended = this.#living[which];
    for (let time = 0; ended !== undefined && time < times; time++) await this.#world.windows.end([ended.slot]);
    if (ended !== undefined) this.#calls.delete(ended.slot.id);
  }

  endTwice(act: Act): Promise<void> {
    return this.end(act, 2);
  }

  async silence({ which }: Act): Promise<void> {
    const call = this.#living[which];
    if (call === undefined) return;
    await this.#world.windows.hold([call.slot]);
    call.silentUntil = this.#world.now() + slotLifeMs;
  }

  async renew({ waitMs }: Act): Promise<void> {
    const slots = this.#living.map(({ slot }) => slot);
    await this.#world.windows.hold(slots);
    await this.#world.wait(waitMs);
    await this.#world.windows.hold(slots);
  }

  get #living() {
    return [...this.#calls.values()].filter(({ silentUntil }) => silentUntil === Infinity);
  }

  #counting(key: string): number {
    const now = this.#world.now();
    return [...this.#calls.values()].filter(({ slot, silentUntil }) => slot.keys.includes(key) && silentUntil > now)
      .length;
  }
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
    await fc.assert(
      fc.asyncProperty(acts, fc.integer({ min: 1, max: 4 }), async (sequence, maxConcurrent) => {
        const calls = new CallsInFlight(world(), maxConcurrent);
        for (const act of sequence) await calls[act.kind](act);
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
