import { expect, test } from "vitest";
import { Batches } from "./batches.ts";

const soonMs = 1;
const neverMs = 1_000_000;

async function first<Item>(batches: Batches<Item>): Promise<Item[] | undefined> {
  for await (const batch of batches) return batch;
  return undefined;
}

test("a full batch does not wait", async () => {
  const batches = new Batches<string>({ weight: 3, waitMs: neverMs });
  batches.add("a", 1);
  batches.add("b", 2);
  expect(await first(batches)).toEqual(["a", "b"]);
  batches.close();
});

test("a lone item waits no longer than it may", async () => {
  const batches = new Batches<string>({ weight: 1_000, waitMs: soonMs });
  batches.add("a", 1);
  expect(await first(batches)).toEqual(["a"]);
});

test("after close everything in hand comes, in order and in batches of the right size, and then the end", async () => {
  const batches = new Batches<number>({ weight: 4, waitMs: neverMs });
  for (let item = 0; item < 10; item++) batches.add(item, 1);
  batches.close();
  const seen: number[][] = [];
  for await (const batch of batches) seen.push(batch);
  expect(seen).toEqual([
    [0, 1, 2, 3],
    [4, 5, 6, 7],
    [8, 9],
  ]);
});

test("an item heavier than a batch goes alone", async () => {
  const batches = new Batches<string>({ weight: 2, waitMs: neverMs });
  batches.add("heavy", 64);
  batches.add("light", 1);
  batches.close();
  const seen: string[][] = [];
  for await (const batch of batches) seen.push(batch);
  expect(seen).toEqual([["heavy"], ["light"]]);
});
