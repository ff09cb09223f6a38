import { expect, it } from "vitest";
import { ReplyShares } from "./reply-shares.ts";

const purged: [string, number][] = [];
const sharesOf = (bytesPerTenant: number) => {
  purged.length = 0;
  return new ReplyShares({ bytesPerTenant, purge: (tenant, before) => void purged.push([tenant, before]) });
};

it("takes away a tenant's own oldest frames once its share is full, and nobody else's", () => {
  const shares = sharesOf(1600);
  shares.stored({ tenant: "quiet", sequence: 1, bytes: 100 });
  for (let sequence = 2; sequence <= 17; sequence++) shares.stored({ tenant: "loud", sequence, bytes: 100 });
  expect(purged).toEqual([]);
  shares.stored({ tenant: "loud", sequence: 18, bytes: 100 });
  expect(purged).toEqual([["loud", 7]]);
});

it("never holds more than the share, whatever the frames' sizes", () => {
  const shares = sharesOf(1000);
  const held: { sequence: number; bytes: number }[] = [];
  for (let sequence = 1; sequence <= 2_000; sequence++) {
    const bytes = 1 + ((sequence * 37) % 120);
    held.push({ sequence, bytes });
    shares.stored({ tenant: "t", sequence, bytes });
    const before = purged.at(-1)?.[1] ?? 0;
    const sum = held.filter((frame) => frame.sequence >= before).reduce((all, frame) => all + frame.bytes, 0);
    expect(sum).toBeLessThanOrEqual(1000);
  }
});

it("keeps frames that were stored out of order behind the position that is purged", () => {
  const shares = sharesOf(320);
  shares.stored({ tenant: "t", sequence: 9, bytes: 20 });
  shares.stored({ tenant: "t", sequence: 5, bytes: 20 });
  for (let sequence = 10; sequence <= 23; sequence++) shares.stored({ tenant: "t", sequence, bytes: 20 });
  shares.stored({ tenant: "t", sequence: 24, bytes: 20 });
  expect(purged).toHaveLength(1);
  expect(purged[0]?.[1]).toBeGreaterThan(9);
});
