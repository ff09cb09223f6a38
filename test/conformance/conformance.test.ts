import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import baseline from "./baseline.json" with { type: "json" };
import { cells, crossEraIsOn, type Cell } from "./cells.ts";
import { runClient } from "./client/run-client.ts";
import { complaints, reportText } from "./report.ts";
import { runCells, type CellResult } from "./run-cells.ts";
import { suiteNames, type Check } from "./suites.ts";

const limitMs = 280_000;
const concurrency = 2;
const onProgress = () => {};
const direct = new Map<string, Check[]>();
let dir: string;

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), "sluice-conformance-"));
});
afterAll(() => rm(dir, { recursive: true, force: true }));

function run(wanted: readonly Cell[], replicas: number): Promise<CellResult[]> {
  return runCells({ cells: wanted, replicas: [replicas], baseline, dir, concurrency, onProgress, direct });
}

function expectNothingNew(results: readonly CellResult[]): void {
  expect(results).not.toHaveLength(0);
  expect(complaints(results), reportText(results)).toEqual([]);
}

const sameEra = cells.filter(({ isCrossEra }) => !isCrossEra);
const crossEra = cells.filter(({ isCrossEra }) => isCrossEra);

describe("the official conformance suites against a server of the agent's own era", () => {
  it(
    "judge every check the same through Sluice as direct, and pass what counts",
    async () => {
      const results = await run(sameEra, 1);
      expectNothingNew(results);
      const scores = results.map(({ cell, direct: { scoredPassed, scoredTotal } }) => [
        cell,
        scoredPassed,
        scoredTotal,
      ]);
      for (const fixture of ["dual", "legacy"]) {
        expect(scores).toContainEqual([`0.1.16/${fixture}`, 44, 44]);
        expect(scores).toContainEqual([`2025-11-25/${fixture}`, 70, 70]);
      }
      for (const fixture of ["dual", "modern"]) expect(scores).toContainEqual([`2026-07-28/${fixture}`, 120, 120]);
    },
    limitMs,
  );

  it(
    "judge every check the same with two replicas of each service, requests going to them in turn",
    async () => {
      expectNothingNew(
        await run(
          sameEra.filter(({ fixture, suite }) => fixture === "dual" && suite !== "0.1.16"),
          2,
        ),
      );
    },
    limitMs,
  );
});

if (crossEraIsOn) {
  describe("the official conformance suites against a server of the other era", () => {
    it(
      "judge every check the same as in the server's own era, but for those that the baseline gives a reason for",
      async () => expectNothingNew(await run(crossEra, 1)),
      limitMs,
    );
  });
}

describe("official clients against the suites' own servers", () => {
  it(
    "send through Sluice what they send direct, and end as well",
    async () => {
      const results = await runClient({ suites: suiteNames, replicas: [1], dir, concurrency, onProgress });
      expectNothingNew(results);
      for (const { cell, direct } of results) expect(direct.passed, cell).toBe(direct.total);
    },
    limitMs,
  );
});
