import { expect, it } from "vitest";
import { ReplyShares } from "./reply-shares.ts";

const most = 6_400;
function sharesOf() {
  const purged: [string, number][] = [];
  const clock = { now: 0 };
  const shares = new ReplyShares({
    mostBytes: () => most,
    maxAgeMs: 1_000,
    now: () => clock.now,
    purge: (tenant, before) => void purged.push([tenant, before]),
  });
  return { shares, purged, clock };
}

it("takes away the oldest frames of the tenant that fills most, and nobody else's", () => {
  const { shares, purged } = sharesOf();
  shares.stored({ tenant: "quiet", sequence: 1, bytes: 1_000 });
  for (let sequence = 2; sequence <= 55; sequence++) shares.stored({ tenant: "loud", sequence, bytes: 100 });
  expect(purged).toEqual([]);
  shares.stored({ tenant: "loud", sequence: 56, bytes: 100 });
  expect(purged).toEqual([["loud", 10]]);
});

it("never lets all together hold more, whatever the sizes; one tenant alone may have it all", () => {
  const { shares, purged } = sharesOf();
  const held: { sequence: number; bytes: number }[] = [];
  let fullest = 0;
  for (let sequence = 1; sequence <= 2_000; sequence++) {
    const bytes = 1 + ((sequence * 37) % 120);
    held.push({ sequence, bytes });
    shares.stored({ tenant: "t", sequence, bytes });
    const before = purged.at(-1)?.[1] ?? 0;
    const sum = held.filter((frame) => frame.sequence >= before).reduce((all, frame) => all + frame.bytes, 0);
    expect(sum).toBeLessThanOrEqual(most);
    fullest = Math.max(fullest, sum);
  }
  expect(fullest).toBeGreaterThan(most * 0.95);
});

it("counts nothing that is gone for its age", () => {
  const { shares, purged, clock } = sharesOf();
  shares.stored({ tenant: "before", sequence: 1, bytes: 6_000 });
  clock.now = 2_000;
  for (let sequence = 2; sequence <= 65; sequence++) shares.stored({ tenant: "now", sequence, bytes: 100 });
  expect(purged).toEqual([]);
});
