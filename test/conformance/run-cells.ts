import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import type { Cell } from "./cells.ts";
import { compare, review, type Baseline, type Review } from "./compare.ts";
import { startFixture } from "./fixtures/fixture.ts";
import { isScored, runServerSuite, type Check } from "./suites.ts";
import { startThrough } from "./through.ts";

export interface CellResult extends Review {
  readonly cell: string;
  readonly replicas: number;
  readonly direct: Score;
  readonly through: Score;
}

/** Checks that were decided: passed of all, and of those that count for the revision. */
export interface Score {
  readonly passed: number;
  readonly total: number;
  readonly scoredPassed: number;
  readonly scoredTotal: number;
}

export interface RunOptions {
  readonly cells: readonly Cell[];
  /** How many of each service, one house after the other. */
  readonly replicas: readonly number[];
  readonly baseline: Baseline;
  /** Where the suites leave their results. */
  readonly dir: string;
  readonly concurrency: number;
  readonly onProgress: (line: string) => void;
}

/** Runs every cell direct once and through Sluice once per number of replicas, and compares check by check. */
export async function runCells(options: RunOptions): Promise<CellResult[]> {
  const { cells, onProgress, concurrency } = options;
  const references = new Map(cells.map((cell) => [directName(cell), cell]));
  const direct = new Map<string, Check[]>();
  await inTurn([...references], concurrency, async ([name, cell]) => {
    await using fixture = await startFixture(cell.reference);
    direct.set(name, await runTimed(cell, { ...options, url: fixture.url, label: `direct ${name}` }));
  });
  const results: CellResult[] = [];
  for (const replicas of options.replicas) {
    onProgress(`starting Sluice with ${replicas} of each service …`);
    await using through = await startThrough({ cells, replicas });
    await inTurn(cells, concurrency, async (cell) => {
      const label = `through ${cell.name} x${replicas}`;
      const checks = await runTimed(cell, { ...options, url: through.url(cell), label });
      const wanted = direct.get(directName(cell)) ?? [];
      results.push({
        cell: cell.name,
        replicas,
        direct: await scoreOf(cell, wanted),
        through: await scoreOf(cell, checks),
        ...review(compare(wanted, checks), cell.isCrossEra ? (options.baseline[cell.name] ?? {}) : {}),
      });
    });
  }
  return results;
}

const directName = ({ suite, reference }: Cell) => `${suite}/${reference}`;

async function runTimed(
  { suite }: Cell,
  { url, label, dir, onProgress }: RunOptions & { url: string; label: string },
): Promise<Check[]> {
  const startedAt = Date.now();
  const own = join(dir, label.replaceAll(/[ /]/g, "-"));
  await mkdir(own, { recursive: true });
  const checks = await runServerSuite(suite, url, own);
  onProgress(`${label}: ${checks.length} checks in ${((Date.now() - startedAt) / 1_000).toFixed(1)} s`);
  return checks;
}

async function scoreOf({ suite }: Cell, checks: readonly Check[]): Promise<Score> {
  const counts = await isScored(suite);
  const decided = checks.filter(({ status }) => status === "SUCCESS" || status === "FAILURE");
  const scored = decided.filter(({ scenario }) => counts(scenario));
  const passed = (of: readonly Check[]) => of.filter(({ status }) => status === "SUCCESS").length;
  return {
    passed: passed(decided),
    total: decided.length,
    scoredPassed: passed(scored),
    scoredTotal: scored.length,
  };
}

/** Works on so many at a time; the first failure is thrown when all have ended. */
async function inTurn<Item>(items: readonly Item[], concurrency: number, work: (item: Item) => Promise<void>) {
  const waiting = [...items];
  const worker = async () => {
    for (let item = waiting.shift(); item !== undefined; item = waiting.shift()) await work(item);
  };
  const ended = await Promise.allSettled(Array.from({ length: concurrency }, worker));
  for (const result of ended) if (result.status === "rejected") throw result.reason;
}
