import { randomUUID } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startRedis, type Part } from "@sluice/launcher";
import { closeRedis, openRedis } from "@sluice/runtime/redis";
import { LocalWindows } from "./windows-local.ts";
import { RedisWindows } from "./windows-redis.ts";
import { subWindows, type Taken } from "./windows.ts";

let dataDir: string;
let part: Part;

beforeAll(async () => {
  dataDir = await mkdtemp(join(tmpdir(), "sluice-windows-"));
  part = await startRedis({ dataDir });
}, 120_000);

afterAll(async () => {
  await part?.stop();
  await rm(dataDir, { recursive: true, force: true });
});

async function connect() {
  const redis = openRedis({ url: part.url, timeoutMs: 30_000 });
  await redis.connect();
  return { redis, [Symbol.asyncDispose]: () => closeRedis(redis) };
}

const freshKey = () => `gw:rl:${randomUUID()}`;

/** Without what differs by nature: where was counted, and by whom. */
const decisionsOf = (answers: readonly Taken[]) =>
  answers.map((taken) => (taken.ok ? { ok: true, lease: taken.lease, left: taken.left } : taken));

describe("windows in Redis", () => {
  it("A28: of 500 parallel calls over 3 connections exactly the limit of 100 passes, and the rest learn when to come back", async () => {
    await using one = await connect();
    await using two = await connect();
    await using three = await connect();
    const replicas = [one, two, three].map(({ redis }) => new RedisWindows(redis));
    const take = { key: freshKey(), limit: 100, windowMs: 60_000 };
    const answers = await Promise.all(Array.from({ length: 500 }, (_, index) => replicas[index % 3]?.take([[take]])));
    const taken = answers.flatMap((answer) => answer ?? []);
    expect(taken.filter(({ ok }) => ok)).toHaveLength(100);
    for (const each of taken) {
      if (!each.ok) expect(each.retryAfterSeconds).toBeGreaterThanOrEqual(1);
      if (!each.ok) expect(each.retryAfterSeconds).toBeLessThanOrEqual(62);
    }
  });

  it("A28: batches of 64 are decided as exactly as single calls", async () => {
    await using one = await connect();
    await using two = await connect();
    const take = { key: freshKey(), limit: 100, windowMs: 60_000 };
    const batch = Array.from({ length: 64 }, () => [take]);
    const replicas = [one, two].map(({ redis }) => new RedisWindows(redis));
    const answers = await Promise.all(Array.from({ length: 8 }, (_, index) => replicas[index % 2]?.take(batch)));
    expect(answers.flatMap((answer) => answer ?? []).filter(({ ok }) => ok)).toHaveLength(100);
  });

  it("decide exactly as windows in memory do, at any sequence of moments, batches and limits", async () => {
    await using connection = await connect();
    const clockKey = `test:clock:${randomUUID()}`;
    const shared = new RedisWindows(connection.redis, `local now = tonumber(redis.call('GET', '${clockKey}'))`);
    const slot = fc.record({
      name: fc.constantFrom("a", "b"),
      limit: fc.constantFrom(0, 1, 2, 5),
      sustained: fc.constantFrom(undefined, 1, 3),
      windowMs: fc.constantFrom(100_000, 600_000),
    });
    const batch = fc.array(fc.uniqueArray(slot, { selector: (take) => Object.values(take).join(), maxLength: 3 }), {
      minLength: 1,
      maxLength: 6,
    });
    const sequence = fc.array(
      fc.record({ waitMs: fc.oneof(fc.nat(5_000), fc.nat(130_000), fc.nat(2_000_000)), batch }),
      { maxLength: 15 },
    );
    await fc.assert(
      fc.asyncProperty(sequence, async (steps) => {
        const clock = { now: 1_700_000_000_000 };
        const local = new LocalWindows({ now: () => clock.now });
        const run = freshKey();
        for (const { waitMs, batch: calls } of steps) {
          clock.now += waitMs;
          await connection.redis.set(clockKey, clock.now);
          const takes = calls.map((call) =>
            call.map(({ name, limit, windowMs, sustained }) => ({
              key: `${run}:${name}:${windowMs}:${limit}:${sustained}`,
              limit,
              windowMs,
              ...(sustained !== undefined && { sustained }),
            })),
          );
          expect(decisionsOf(await shared.take(takes))).toEqual(decisionsOf(await local.take(takes)));
        }
      }),
      { numRuns: 150 },
    );
    await connection.redis.del(clockKey);
  }, 60_000);

  it("begin afresh after the clock was set back by more than a window, and count on after less", async () => {
    await using connection = await connect();
    const clockKey = `test:clock:${randomUUID()}`;
    const windows = new RedisWindows(connection.redis, `local now = tonumber(redis.call('GET', '${clockKey}'))`);
    const take = { key: freshKey(), limit: 1, windowMs: 100_000 };
    const at = async (now: number) => {
      await connection.redis.set(clockKey, now);
      return (await windows.take([[take]]))[0]?.ok;
    };
    expect(await at(1_700_000_900_000)).toBe(true);
    expect(await at(1_700_000_850_000)).toBe(false);
    expect(await at(1_700_000_000_000)).toBe(true);
    expect(await at(1_700_000_001_000)).toBe(false);
    await connection.redis.del(clockKey);
  });

  it("take the same room however large the limit is, and vanish by themselves", async () => {
    await using connection = await connect();
    const windows = new RedisWindows(connection.redis);
    const take = { key: freshKey(), limit: 1_000_000_000, windowMs: 1_000 };
    const batch = Array.from({ length: 64 }, () => [take]);
    for (let round = 0; round < 200; round++) await windows.take(batch);
    expect(await connection.redis.hlen(take.key)).toBeLessThanOrEqual(subWindows + 1 + 3);
    expect(await connection.redis.pttl(take.key)).toBeGreaterThan(0);
    expect(await connection.redis.pttl(take.key)).toBeLessThanOrEqual(1_000 + 1_000 / subWindows);
  });

  it("go on after Redis forgot the script", async () => {
    await using connection = await connect();
    const windows = new RedisWindows(connection.redis);
    const take = { key: freshKey(), limit: 2, windowMs: 60_000 };
    expect(await windows.take([[take]])).toMatchObject([{ ok: true }]);
    await connection.redis.script("FLUSH");
    expect(await windows.take([[take], [take]])).toMatchObject([{ ok: true }, { ok: false }]);
  });

  describe("leases", () => {
    const start = 1_700_000_400_000;

    async function world() {
      const connection = await connect();
      const clockKey = `test:clock:${randomUUID()}`;
      const windows = new RedisWindows(connection.redis, `local now = tonumber(redis.call('GET', '${clockKey}'))`);
      return {
        windows,
        at: (now: number) => connection.redis.set(clockKey, now),
        [Symbol.asyncDispose]: async () => {
          await connection.redis.del(clockKey);
          await connection[Symbol.asyncDispose]();
        },
      };
    }

    it("grow with the use of a part, end with it, and stop at half of the limit; with them exactly the limit passes", async () => {
      await using w = await world();
      const take = { key: freshKey(), limit: 1_000, windowMs: 60_000 };
      await w.at(start + 200);
      let passed = 0;
      let asked = 0;
      const sizes: number[] = [];
      for (;;) {
        const [taken] = await w.windows.take([[take]]);
        asked++;
        if (taken?.ok !== true) break;
        passed += 1 + (taken.lease?.calls ?? 0);
        if (taken.lease === undefined) continue;
        expect(passed).toBeLessThanOrEqual(500);
        expect(taken.lease.ms).toBe(1_000);
        sizes.push(taken.lease.calls);
      }
      expect(passed).toBe(1_000);
      expect(sizes.slice(0, 3)).toEqual([4, 9, 10]);
      expect(Math.max(...sizes)).toBe(10);
      expect(asked).toBeLessThan(560);
    });

    it("are no longer than what is left of the part, and none for small limits, short windows and rare calls", async () => {
      await using w = await world();
      const leaseAfter = async (calls: number, limit: number, windowMs: number, offsetMs = 0) => {
        await w.at(start + offsetMs);
        const take = { key: freshKey(), limit, windowMs };
        for (let call = 1; call < calls; call++) await w.windows.take([[take]]);
        const [taken] = await w.windows.take([[take]]);
        return taken?.ok === true ? taken.lease : undefined;
      };
      expect(await leaseAfter(4, 1_000, 60_000, 1_100)).toMatchObject({ calls: 4, ms: 100 });
      expect(await leaseAfter(3, 1_000, 60_000)).toBeUndefined();
      expect(await leaseAfter(90, 999, 60_000)).toBeUndefined();
      expect(await leaseAfter(90, 1_000, 9_000)).toBeUndefined();
    });

    it("count on every window of the call, once per batch", async () => {
      await using w = await world();
      await w.at(start);
      const wide = { key: freshKey(), limit: 100_000, windowMs: 60_000 };
      const narrow = { key: freshKey(), limit: 2_000, windowMs: 10_000 };
      const answers = await w.windows.take(Array.from({ length: 8 }, () => [wide, narrow]));
      const leased = answers.filter((taken) => taken.ok && taken.lease !== undefined);
      expect(leased).toMatchObject([
        { lease: { calls: 4, ms: 200 }, counted: { windows: [{ key: wide.key }, { key: narrow.key }] } },
      ]);
    });

    it("that are given back count no more; what is given twice or too late takes nothing from others", async () => {
      await using w = await world();
      await w.at(start);
      const take = { key: freshKey(), limit: 1_000, windowMs: 60_000 };
      const [, , , taken] = await w.windows.take(Array.from({ length: 4 }, () => [take]));
      if (taken?.ok !== true) throw new Error("the call did not pass");
      expect(taken.lease?.calls).toBe(4);
      const windows = taken.counted.windows ?? [];
      await w.windows.give(3, windows);
      await w.at(start + 1_200);
      const small = { ...take, limit: 999 };
      const rest = await w.windows.take(Array.from({ length: 999 }, () => [small]));
      expect(rest.filter(({ ok }) => ok)).toHaveLength(999 - 5);
      for (let round = 0; round < 3; round++) await w.windows.give(4, windows);
      const again = await w.windows.take(Array.from({ length: 10 }, () => [small]));
      expect(again.filter(({ ok }) => ok)).toHaveLength(5);
      await w.at(start + 120_000);
      await w.windows.take([[small]]);
      await w.windows.give(4, windows);
      const late = await w.windows.take(Array.from({ length: 1_000 }, () => [small]));
      expect(late.filter(({ ok }) => ok)).toHaveLength(998);
    });
  });
});
