import { expect, it } from "vitest";
import { keptMs, KeptCards } from "./kept-cards.ts";

const megabyte = 1024 * 1024;
let now = 0;
const cards = () => {
  const kept = new KeptCards(() => now);
  const made: string[] = [];
  const ask = (key: string, bytes = 10) =>
    kept.of(key, async () => {
      made.push(key);
      return { body: Buffer.alloc(bytes), etag: key };
    });
  return { kept, made, ask };
};

it("makes a card once for all who ask, and anew after its time", async () => {
  const { kept, made, ask } = cards();
  await Promise.all([ask("a"), ask("a"), ask("b")]);
  expect(made).toEqual(["a", "b"]);
  now += keptMs;
  await ask("a");
  expect(made).toEqual(["a", "b", "a"]);
  expect(kept.bytes).toBe(11);
});

it("keeps no more than 64 MiB, the newest", async () => {
  const { kept, made, ask } = cards();
  for (let n = 0; n < 150; n++) await ask(`${n}`, megabyte / 2);
  expect(kept.bytes).toBeLessThanOrEqual(64 * megabyte);
  expect(kept.bytes).toBeGreaterThan(63 * megabyte);
  await ask("149", megabyte / 2);
  expect(made.length).toBe(150);
  await ask("0", megabyte / 2);
  expect(made.length).toBe(151);
});

it("keeps nothing of a card that could not be made", async () => {
  const { kept, made, ask } = cards();
  await expect(kept.of("a", () => Promise.reject(new Error("no")))).rejects.toThrow("no");
  await ask("a");
  expect(made).toEqual(["a"]);
  expect(kept.bytes).toBe(11);
});
