import { mkdtemp } from "node:fs/promises";
import { join } from "node:path";
import type { Cell } from "./cells.ts";
import { compare, review, type Baseline, type Review } from "./compare.ts";
import { startFixture } from "./fixtures/fixture.ts";
import { inTurn } from "./in-turn.ts";
import { scoreOf, type Score } from "./score.ts";
import { runServerSuite, type Check } from "./suites.ts";
import { startThrough } from "./through.ts";

export interface CellResult extends Review {
  readonly cell: string;
  readonly replicas: number;
  readonly direct: Score;
  readonly through: Score;
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
  /** What was run direct already; more is added to it. */
  readonly direct?: Map<string, Check[]>;
}

/** Runs every cell direct once and through Sluice once per number of replicas, and compares check by check. */
export async function runCells(options: RunOptions): Promise<CellResult[]> {
  const { cells, onProgress, concurrency } = options;
  const { direct = new Map<string, Check[]>() } = options;
  const references = new Map(cells.map((cell) => [directName(cell), cell]));
  const missing = [...references].filter(([name]) => !direct.has(name));
  await inTurn(missing, concurrency, async ([name, cell]) => {
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
        direct: await scoreOf(cell.suite, wanted),
        through: await scoreOf(cell.suite, checks),
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
  const own = await mkdtemp(join(dir, `${label.replaceAll(/[ /]/g, "-")}-`));
  const checks = await runServerSuite(suite, url, own);
  onProgress(`${label}: ${checks.length} checks in ${((Date.now() - startedAt) / 1_000).toFixed(1)} s`);
  return checks;
}
