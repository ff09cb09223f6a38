import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startRedis, type Part } from "@sluice/launcher";
import { closeRedis, openRedis } from "@sluice/runtime/redis";
import { FallbackWindows, type FallbackState } from "./windows-fallback.ts";
import { LocalWindows } from "./windows-local.ts";
import { RedisWindows } from "./windows-redis.ts";

const timeoutMs = 1_000;
let dataDir: string;
let part: Part;

beforeAll(async () => {
  dataDir = await mkdtemp(join(tmpdir(), "sluice-fallback-"));
  const { REDIS_URL: _, ...env } = process.env;
  part = await startRedis({ dataDir, env });
}, 120_000);

afterAll(async () => {
  await part?.stop();
  await rm(dataDir, { recursive: true, force: true });
});

async function world(replicas: number) {
  const redis = openRedis({ url: part.url, timeoutMs });
  await redis.connect();
  const changes: FallbackState[] = [];
  let changed = Promise.withResolvers<FallbackState>();
  const windows = new FallbackWindows({
    shared: new RedisWindows(redis),
    local: new LocalWindows({ now: () => performance.now() }),
    replicas: () => replicas,
    probeEveryMs: 20,
    onChange: (state) => {
      changes.push(state);
      changed.resolve(state);
      changed = Promise.withResolvers();
    },
  });
  const passing = async (limit: number, asked: number) => {
    const take = { key: randomUUID(), limit, windowMs: 60_000 };
    const taken = await windows.take(Array.from({ length: asked }, () => [take]));
    return taken.filter(({ ok }) => ok).length;
  };
  const close = async () => {
    windows[Symbol.dispose]();
    await closeRedis(redis);
  };
  return { windows, changes, nextChange: () => changed.promise, passing, [Symbol.asyncDispose]: close };
}

describe("without Redis", () => {
  it("each replica grants its share of a limit, at least one call and never without limit; Redis decides again when it is back", async () => {
    await using w = await world(3);
    expect(await w.passing(10, 64)).toBe(10);
    await part.kill("SIGKILL");
    expect(await w.passing(10, 64)).toBe(3);
    expect(await w.passing(2, 64)).toBe(1);
    expect(await w.passing(0, 64)).toBe(0);
    expect(w.changes).toEqual([{ local: true, reason: expect.any(String) }]);
    const back = w.nextChange();
    await part.restart();
    expect(await back).toEqual({ local: false });
    expect(await w.passing(10, 64)).toBe(10);
  }, 60_000);

  it("each replica grants its share of calls in flight, those that began before included once they are renewed; Redis hears of all when it is back", async () => {
    await using w = await world(3);
    const [key, other] = [`gw:rs:${randomUUID()}`, `gw:rs:${randomUUID()}`];
    const begin = async (slot: string, of = key) => {
      const [taken] = await w.windows.take([[{ key: of, slot, maxConcurrent: 6 }]]);
      return taken?.ok === true;
    };
    expect(await begin("before")).toBe(true);
    await part.kill("SIGKILL");
    expect([await begin("a"), await begin("b"), await begin("c")]).toEqual([true, true, false]);
    await w.windows.end([{ id: "b", keys: [key] }]);
    await w.windows.hold([{ id: "before", keys: [key] }]);
    expect(await begin("c")).toBe(false);
    expect(await begin("x", other)).toBe(true);
    await w.windows.end([{ id: "x", keys: [other] }]);
    const back = w.nextChange();
    await part.restart();
    await back;
    const begun = [];
    for (const slot of ["c", "d", "e", "f", "g"]) begun.push(await begin(slot));
    expect(begun).toEqual([true, true, true, true, false]);
    await w.windows.end([{ id: "a", keys: [key] }]);
    expect([await begin("g"), await begin("h")]).toEqual([true, false]);
  }, 60_000);

  it("only the calls that find out wait for a Redis that hangs; those after are answered at once, until it goes on", async () => {
    await using w = await world(2);
    expect(await w.passing(10, 64)).toBe(10);
    const pid = part.pid ?? 0;
    process.kill(pid, "SIGSTOP");
    try {
      expect(await w.passing(10, 64)).toBe(5);
      const startedAt = performance.now();
      expect(await w.passing(10, 64)).toBe(5);
      expect(performance.now() - startedAt).toBeLessThan(timeoutMs / 2);
    } finally {
      process.kill(pid, "SIGCONT");
    }
    if (w.windows.isLocal) await w.nextChange();
    expect(await w.passing(10, 64)).toBe(10);
  });
});
