import { describe, expect, it } from "vitest";
import baseline from "./baseline.json" with { type: "json" };
import { cells, type Cell } from "./cells.ts";
import type { Baseline } from "./compare.ts";
import { quietly } from "./quietly.ts";
import { complaints, reportText } from "./report.ts";
import { runCells } from "./run-cells.ts";
import { scenarios } from "./scenarios.ts";
import { a2aOperations } from "@sluice/contracts";

const limitMs = 280_000;
const concurrency = 6;
const onProgress = () => {};

async function expectNothingNew(wanted: readonly Cell[], replicas: number): Promise<void> {
  const playing = { cells: wanted, replicas: [replicas], baseline: baseline as Baseline, concurrency, onProgress };
  const results = await quietly(() => runCells(playing));
  expect(results).toHaveLength(wanted.length);
  for (const { cell, hits } of results) expect(hits, cell).toBeGreaterThan(20);
  expect(complaints(results), reportText(results)).toEqual([]);
}

describe("clients of A2A behind the gateway", () => {
  it("play every operation", () => {
    const played = new Set(scenarios.flatMap(({ operations }) => operations));
    expect([...played].toSorted()).toEqual([...a2aOperations].toSorted());
  });

  it(
    "send and get what they do without it, byte by byte, where the agent speaks as they do, whichever replica they meet",
    () =>
      expectNothingNew(
        cells.filter(({ isSame }) => isSame),
        2,
      ),
    limitMs,
  );

  it(
    "come to the same with agents of every other revision and binding",
    () =>
      expectNothingNew(
        cells.filter(({ isSame }) => !isSame),
        1,
      ),
    limitMs,
  );
});
