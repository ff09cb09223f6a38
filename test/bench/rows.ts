import type { Cell, Sample } from "./measure.ts";

/** One line of `--json`; ratios are on the rows of sluice, where the baseline ran too. */
export interface Row extends Cell, Sample {
  readonly target: "sluice" | "baseline";
  readonly turns: number;
  /** Requests/s over the baseline's, median of the turns. */
  readonly ratio?: number;
  /** CPU per request of all processes over that of the baseline's one, median of the turns. */
  readonly cpuRatio?: number;
  readonly addedP50Ms?: number;
}

function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  const upper = sorted[middle] ?? 0;
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? 0) + upper) / 2;
}

function medianByName(maps: readonly Readonly<Record<string, number>>[]): Record<string, number> {
  const names = Object.keys(maps[0] ?? {});
  return Object.fromEntries(names.map((name) => [name, median(maps.map((map) => map[name] ?? 0))]));
}

function medianSample(samples: readonly Sample[]): Sample {
  const of = (pick: (sample: Sample) => number) => median(samples.map(pick));
  return {
    rps: of((sample) => sample.rps),
    p50Ms: of((sample) => sample.p50Ms),
    p99Ms: of((sample) => sample.p99Ms),
    cpuUsPerRequest: of((sample) => sample.cpuUsPerRequest),
    cpuUsByProcess: medianByName(samples.map((sample) => sample.cpuUsByProcess)),
    rssMb: of((sample) => sample.rssMb),
    rssMbByProcess: medianByName(samples.map((sample) => sample.rssMbByProcess)),
    loadCpuUsPerRequest: of((sample) => sample.loadCpuUsPerRequest),
    loadCpuShare: of((sample) => sample.loadCpuShare),
    requests: of((sample) => sample.requests),
    upstreamPerRequest: of((sample) => sample.upstreamPerRequest),
  };
}

/** Samples of the same turn stand at the same place; either list may be empty. */
export function rowsOf(cell: Cell, baseline: readonly Sample[], sluice: readonly Sample[]): Row[] {
  const rows: Row[] = [];
  if (baseline.length > 0)
    rows.push({ ...cell, target: "baseline", turns: baseline.length, ...medianSample(baseline) });
  if (sluice.length > 0) {
    const row: Row = { ...cell, target: "sluice", turns: sluice.length, ...medianSample(sluice) };
    rows.push(baseline.length > 0 ? { ...row, ...compared(baseline, sluice) } : row);
  }
  return rows;
}

function compared(
  baseline: readonly Sample[],
  sluice: readonly Sample[],
): Required<Pick<Row, "ratio" | "cpuRatio" | "addedP50Ms">> {
  const pairs = baseline.map((a, turn) => [a, sluice[turn] as Sample] as const);
  return {
    ratio: median(pairs.map(([a, b]) => b.rps / a.rps)),
    cpuRatio: median(pairs.map(([a, b]) => b.cpuUsPerRequest / a.cpuUsPerRequest)),
    addedP50Ms: median(pairs.map(([a, b]) => b.p50Ms - a.p50Ms)),
  };
}
