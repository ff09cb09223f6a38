import type { Difference } from "./compare.ts";
import type { CellResult } from "./run-cells.ts";

const columns = [
  "client to agent",
  "replicas",
  "compared",
  "scenarios",
  "same",
  "hits at the agent",
  "differences",
] as const;
const longestShown = 2_000;

/** One line per cell, then every difference. */
export function reportText(results: readonly CellResult[]): string {
  const sorted = results.toSorted((a, b) => a.cell.localeCompare(b.cell) || a.replicas - b.replicas);
  const rows = [columns, ...sorted.map(rowOf)];
  const widths = columns.map((_column, at) => Math.max(...rows.map((row) => row[at]?.length ?? 0)));
  const line = (row: readonly string[]) =>
    row
      .map((text, at) => text.padEnd(widths[at] ?? 0))
      .join("  ")
      .trimEnd();
  return [...rows.map(line), "", ...sorted.flatMap(linesOf)].join("\n").trimEnd();
}

/** What makes the run fail: differences that nobody has given a reason for, and reasons that nothing needs. */
export function complaints(results: readonly CellResult[]): string[] {
  return results.flatMap(({ cell, replicas, unexpected, stale }) => [
    ...unexpected.map((difference) => `${cell} x${replicas}: ${sentence(difference)}`),
    ...stale.map((name) => `${cell} x${replicas}: ${name}: the baseline has a reason, but nothing differs: delete it`),
  ]);
}

function rowOf({ cell, replicas, isSame, scenarios, hits, accepted, unexpected, stale }: CellResult): string[] {
  const differing = new Set([...accepted, ...unexpected].map(({ scenario }) => scenario));
  const found = [
    unexpected.length > 0 && `${unexpected.length} UNEXPECTED`,
    accepted.length > 0 && `${accepted.length} in the baseline`,
    stale.length > 0 && `${stale.length} STALE`,
  ].filter((text) => text !== false);
  const how = isSame ? "byte by byte" : "by meaning";
  const same = String(scenarios - differing.size);
  return [cell, String(replicas), how, String(scenarios), same, String(hits), found.join(", ") || "none"];
}

const linesOf = (result: CellResult): string[] => [
  ...result.accepted.map(({ scenario, what }) => `${result.cell} x${result.replicas}: accepted: ${scenario} (${what})`),
  ...complaints([result]),
];

const sentence = ({ scenario, what, direct, through }: Difference): string =>
  `${scenario} (${what})\n    direct:  ${direct.slice(0, longestShown)}\n    through: ${through.slice(0, longestShown)}`;
