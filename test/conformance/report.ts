import type { Difference } from "./compare.ts";
import type { CellResult } from "./run-cells.ts";
import type { Score } from "./score.ts";

const columns = ["cell", "replicas", "direct", "through", "scored direct", "scored through", "differences"] as const;

/** One line per cell, then every difference with the suite's own words. */
export function reportText(results: readonly CellResult[]): string {
  const sorted = results.toSorted((a, b) => a.cell.localeCompare(b.cell) || a.replicas - b.replicas);
  const rows = [columns, ...sorted.map(rowOf)];
  const widths = columns.map((_column, at) => Math.max(...rows.map((row) => row[at]?.length ?? 0)));
  const table = rows.map((row) =>
    row
      .map((text, at) => text.padEnd(widths[at] ?? 0))
      .join("  ")
      .trimEnd(),
  );
  return [...table, "", ...sorted.flatMap(linesOf)].join("\n").trimEnd();
}

/** What makes the run fail: differences that nobody has given a reason for, and reasons that nothing needs. */
export function complaints(results: readonly CellResult[]): string[] {
  return results.flatMap(({ cell, replicas, unexpected, stale }) => [
    ...unexpected.map((difference) => `${cell} x${replicas}: ${sentence(difference)}`),
    ...stale.map(
      (check) => `${cell} x${replicas}: ${check}: the baseline has a reason, but nothing differs: delete it`,
    ),
  ]);
}

function rowOf(result: CellResult): string[] {
  const { accepted, unexpected, stale, once } = result;
  const all = ({ passed, total }: Score) => `${passed}/${total}`;
  const scored = ({ scoredPassed, scoredTotal }: Score) => `${scoredPassed}/${scoredTotal}`;
  const found = [
    unexpected.length > 0 && `${unexpected.length} UNEXPECTED`,
    accepted.length > 0 && `${accepted.length} in the baseline`,
    stale.length > 0 && `${stale.length} STALE`,
    once.length > 0 && `${once.length} at the first look only`,
  ].filter((text) => text !== false);
  return [
    result.cell,
    String(result.replicas),
    all(result.direct),
    all(result.through),
    scored(result.direct),
    scored(result.through),
    found.join(", ") || "none",
  ];
}

function linesOf(result: CellResult): string[] {
  const head = `${result.cell} x${result.replicas}:`;
  return [...result.accepted.map((difference) => `${head} accepted: ${sentence(difference)}`), ...complaints([result])];
}

function sentence({ check, direct, through, error }: Difference): string {
  return `${check}: direct ${direct}, through ${through}${error === undefined ? "" : ` (${error.slice(0, 500)})`}`;
}
