import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { LocalWindows } from "./windows-local.ts";
import { subWindows } from "./windows.ts";

function world(options: { maxWindows?: number } = {}) {
  const clock = { now: 1_000_000 };
  const windows = new LocalWindows({ now: () => clock.now, ...options });
  const take = async (key: string, limit: number, windowMs = 1_000) => {
    const [taken] = await windows.take([[{ key, limit, windowMs }]]);
    if (taken === undefined) throw new Error("no answer");
    return taken;
  };
  return { clock, windows, take };
}

const steps = fc.array(
  fc.record({
    waitMs: fc.oneof(fc.nat(40), fc.nat(1_200), fc.integer({ min: 970, max: 1_050 })),
    calls: fc.integer({ min: 1, max: 5 }),
  }),
  { maxLength: 40 },
);

describe("a sliding window", () => {
  it("passes at most its limit in any span of a window, and all of it once the calls before are a window and a part old", async () => {
    await fc.assert(
      fc.asyncProperty(
        steps,
        fc.integer({ min: 1, max: 6 }),
        fc.constantFrom(1_000, 3_000),
        async (sequence, limit, windowMs) => {
          const { clock, take } = world();
          const passed: number[] = [];
          for (const { waitMs, calls } of sequence) {
            clock.now += waitMs;
            for (let call = 0; call < calls; call++) {
              const within = (spanMs: number) => passed.filter((at) => at > clock.now - spanMs).length;
              const { ok } = await take("k", limit, windowMs);
              if (ok) expect(within(windowMs)).toBeLessThan(limit);
              else expect(within(windowMs + windowMs / subWindows)).toBeGreaterThanOrEqual(limit);
              if (ok) passed.push(clock.now);
            }
          }
        },
      ),
    );
  });

  it("lets one call pass after the time it gave, and not a second before", async () => {
    await fc.assert(
      fc.asyncProperty(steps, fc.integer({ min: 1, max: 4 }), async (sequence, limit) => {
        const { clock, take } = world();
        let refused = await take("k", limit, 5_000);
        for (const { waitMs, calls } of sequence) {
          clock.now += waitMs;
          for (let call = 0; call < calls; call++) refused = await take("k", limit, 5_000);
        }
        if (refused.ok) return;
        expect(refused.retryAfterSeconds).toBeLessThanOrEqual(6);
        clock.now += (refused.retryAfterSeconds - 1) * 1_000 - 1;
        if (refused.retryAfterSeconds > 1) expect((await take("k", limit, 5_000)).ok).toBe(false);
        clock.now += 1_001;
        expect((await take("k", limit, 5_000)).ok).toBe(true);
      }),
    );
  });

  it("does not pass double around the edge of a window", async () => {
    const { clock, take } = world();
    clock.now = 1_000_990;
    for (let call = 0; call < 10; call++) expect((await take("k", 10)).ok).toBe(true);
    clock.now = 1_001_010;
    expect((await take("k", 10)).ok).toBe(false);
    clock.now = 1_001_989;
    expect((await take("k", 10)).ok).toBe(false);
  });

  it("refuses always where the limit is none", async () => {
    const { clock, take } = world();
    expect(await take("k", 0, 60_000)).toEqual({ ok: false, refusedBy: 0, retryAfterSeconds: 60 });
    clock.now += 1_000_000;
    expect((await take("k", 0)).ok).toBe(false);
  });
});

describe("several windows", () => {
  it("take nothing from any where one refuses, and name the one that is free last", async () => {
    const { clock, windows } = world();
    const short = { key: "short", limit: 1, windowMs: 1_000 };
    const long = { key: "long", limit: 2, windowMs: 60_000 };
    expect(await windows.take([[short, long], [short, long], [long], [short, long]])).toMatchObject([
      { ok: true },
      { ok: false, refusedBy: 0, retryAfterSeconds: 2 },
      { ok: true },
      { ok: false, refusedBy: 1, retryAfterSeconds: 61 },
    ]);
    clock.now += 1_500;
    expect(await windows.take([[short, long], [short]])).toMatchObject([{ ok: false, refusedBy: 1 }, { ok: true }]);
  });

  it("refuse new windows when memory is full, and take them again once old ones are over", async () => {
    const { clock, take } = world({ maxWindows: 2 });
    expect((await take("a", 5)).ok).toBe(true);
    expect((await take("b", 5)).ok).toBe(true);
    expect(await take("c", 5)).toMatchObject({ ok: false });
    expect((await take("a", 5)).ok).toBe(true);
    clock.now += 2_000;
    expect((await take("c", 5)).ok).toBe(true);
  });
});
