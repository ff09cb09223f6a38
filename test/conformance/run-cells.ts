import { mkdtemp } from "node:fs/promises";
import { join } from "node:path";
import type { Cell } from "./cells.ts";
import { compare, confirmed, review, type Difference, type Baseline, type Review } from "./compare.ts";
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
  /** Differed at the first look and not at a second one. */
  readonly once: readonly Difference[];
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
    const attempt = async (cell: Cell, label: string) =>
      runTimed(cell, { ...options, url: through.url(cell), label: `${label} ${cell.name} x${replicas}` });
    const first = new Map<Cell, Check[]>();
    await inTurn(cells, concurrency, async (cell) => void first.set(cell, await attempt(cell, "through")));
    for (const [cell, checks] of first) {
      const wanted = direct.get(directName(cell)) ?? [];
      const reasons = cell.isCrossEra ? (options.baseline[cell.name] ?? {}) : {};
      const differences = compare(wanted, checks);
      const doubtful = review(differences, reasons).unexpected.length > 0;
      const lasting = doubtful
        ? confirmed(differences, compare(wanted, await attempt(cell, "again through")))
        : differences;
      results.push({
        cell: cell.name,
        replicas,
        direct: await scoreOf(cell.suite, wanted),
        through: await scoreOf(cell.suite, checks),
        ...review(lasting, reasons),
        once: differences.filter((difference) => !lasting.includes(difference)),
      });
    }
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
