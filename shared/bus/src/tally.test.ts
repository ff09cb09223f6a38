import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { Tally, type Counted } from "./tally.ts";

interface Kind {
  readonly what: string;
  readonly peer?: string;
}

const everyMs = 1_000;
let told: Counted<Kind>[];

beforeEach(() => {
  vi.useFakeTimers({ now: 5_000 });
  told = [];
});
afterEach(() => void vi.useRealTimers());

const open = (more: { mostGroups?: number; leavesFirst?: boolean } = {}) =>
  new Tally<Kind>({
    everyMs,
    mostGroups: 3,
    coarse: ({ what }) => ({ what }),
    tell: (counted) => void told.push(counted),
    ...more,
  });

it("tells of what is alike once in a while, with how many and when", () => {
  using tally = open();
  tally.add({ what: "a" });
  vi.advanceTimersByTime(10);
  tally.add({ what: "a" });
  tally.add({ what: "b" });
  expect(told).toEqual([]);
  vi.advanceTimersByTime(everyMs);
  expect(told).toEqual([
    { group: { what: "a" }, count: 2, at: 5_000, until: 5_010 },
    { group: { what: "b" }, count: 1, at: 5_010, until: 5_010 },
  ]);
  vi.advanceTimersByTime(5 * everyMs);
  expect(told).toHaveLength(2);
});

it("tells a flood of kinds by what they have in common", () => {
  using tally = open();
  for (let peer = 0; peer < 10_000; peer++) tally.add({ what: "a", peer: String(peer) });
  vi.advanceTimersByTime(everyMs);
  expect(told).toHaveLength(4);
  expect(told.at(-1)).toMatchObject({ group: { what: "a" }, count: 9_997 });
  tally.add({ what: "a", peer: "new" });
  vi.advanceTimersByTime(everyMs);
  expect(told.at(-1)).toMatchObject({ group: { what: "a", peer: "new" }, count: 1 });
});

it("leaves the first of a kind to who adds it, where that is wanted, until there was none for a while", () => {
  using tally = open({ leavesFirst: true });
  expect([tally.add({ what: "a" }), tally.add({ what: "a" })]).toEqual([true, false]);
  vi.advanceTimersByTime(everyMs);
  expect(told).toMatchObject([{ group: { what: "a" }, count: 1 }]);
  expect(tally.add({ what: "a" })).toBe(false);
  vi.advanceTimersByTime(2 * everyMs);
  expect(tally.add({ what: "a" })).toBe(true);
});

it("tells at its end what was counted until then", () => {
  const tally = open();
  tally.add({ what: "a" });
  tally[Symbol.dispose]();
  expect(told).toMatchObject([{ group: { what: "a" }, count: 1 }]);
});
