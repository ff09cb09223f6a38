import type { Sample } from "./measure.ts";
import type { Row } from "./rows.ts";

type Column = readonly [title: string, cell: (row: Row) => string];

const integer = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const fixed = (digits: number) => (value: number | undefined) => (value === undefined ? "" : value.toFixed(digits));
const two = fixed(2);

function table(rows: readonly Row[], columns: readonly Column[]): string {
  const lines = [columns.map(([title]) => title), ...rows.map((row) => columns.map(([, cell]) => cell(row)))];
  const widths = columns.map((_, at) => Math.max(...lines.map((line) => line[at]?.length ?? 0)));
  const pad = (text: string, at: number) => (at < 3 ? text.padEnd(widths[at] ?? 0) : text.padStart(widths[at] ?? 0));
  return lines.map((line) => line.map(pad).join("  ").trimEnd()).join("\n");
}

const what: readonly Column[] = [
  ["workload", (row) => row.workload],
  ["conc", (row) => String(row.concurrency)],
  ["target", (row) => row.target],
];

const main: readonly Column[] = [
  ...what,
  ["req/s", (row) => integer.format(row.rps)],
  ["p50 ms", (row) => two(row.p50Ms)],
  ["p99 ms", (row) => two(row.p99Ms)],
  ["CPU µs/req", (row) => fixed(1)(row.cpuUsPerRequest)],
  ["RSS MB", (row) => integer.format(row.rssMb)],
  ["ratio", (row) => two(row.ratio)],
  ["cpuRatio", (row) => two(row.cpuRatio)],
  ["added p50 ms", (row) => two(row.addedP50Ms)],
  ["upstream/req", (row) => fixed(3)(row.upstreamPerRequest)],
  ["load µs/req", (row) => fixed(1)(row.loadCpuUsPerRequest)],
  ["load core", (row) => `${integer.format(row.loadCpuShare * 100)} %`],
];

function perProcess(
  rows: readonly Row[],
  pick: (row: Row) => Readonly<Record<string, number>>,
  digits: number,
): string {
  const names = [...new Set(rows.flatMap((row) => Object.keys(pick(row))))];
  return table(rows, [...what, ...names.map((name): Column => [name, (row) => fixed(digits)(pick(row)[name])])]);
}

interface Goal {
  readonly text: string;
  readonly row: (row: Row) => boolean;
  readonly value: (row: Row) => number | undefined;
  readonly met: (value: number) => boolean;
}

const goals: readonly Goal[] = [
  {
    text: "unary at 64: ratio ≥ 0.50",
    row: (row) => row.workload.startsWith("unary") && row.concurrency === 64,
    value: (row) => row.ratio,
    met: (value) => value >= 0.5,
  },
  {
    text: "unary at 1: added p50 ≤ 1 ms",
    row: (row) => row.workload.startsWith("unary") && row.concurrency === 1,
    value: (row) => row.addedP50Ms,
    met: (value) => value <= 1,
  },
  {
    text: "SSE: ratio ≥ 0.60",
    row: (row) => row.workload === "sse-20" && row.concurrency === 64,
    value: (row) => row.ratio,
    met: (value) => value >= 0.6,
  },
];

function goalLines(rows: readonly Row[]): string[] {
  return goals.flatMap((goal) =>
    rows.filter(goal.row).flatMap((row) => {
      const value = goal.value(row);
      if (value === undefined) return [];
      return [`  ${goal.met(value) ? "met   " : "missed"}  ${goal.text}: ${row.workload} ${two(value)}`];
    }),
  );
}

const mostGrowth = 1.2;

/** What policy costs per call with many rules and agents, over what it costs with few. */
function rulesLines(rows: readonly Row[]): string[] {
  const policyUs = (workload: Row["workload"], concurrency: number) =>
    rows.find((row) => row.workload === workload && row.concurrency === concurrency)?.cpuUsByProcess["policy"];
  return rows.flatMap(({ workload, concurrency }) => {
    const [few, many] = [policyUs("rules-few", concurrency), policyUs("rules-many", concurrency)];
    if (workload !== "rules-many" || few === undefined || many === undefined) return [];
    const growth = many / few;
    const reached = growth <= mostGrowth ? "met   " : "missed";
    const figures = `${fixed(1)(few)} → ${fixed(1)(many)} µs, ${two(growth)}`;
    return [`  ${reached}  policy with 1,000 rules and 10,000 agents, over 2 and 10: ≤ 1.20: ${figures}`];
  });
}

/** The whole report, ready to print. */
export function reportText(rows: readonly Row[]): string {
  const ofSluice = rows.filter((row) => row.target === "sluice");
  const parts = ["", table(rows, main)];
  if (ofSluice.length > 0) {
    parts.push(
      "",
      "CPU µs per request, by process",
      perProcess(ofSluice, (row) => row.cpuUsByProcess, 1),
    );
    parts.push(
      "",
      "RSS MB, by process",
      perProcess(ofSluice, (row) => row.rssMbByProcess, 0),
    );
  }
  const reached = [...goalLines(rows), ...rulesLines(rows)];
  if (reached.length > 0) parts.push("", "Goals on two cores", ...reached);
  return parts.join("\n");
}

/** One line of progress. */
export function sampleText(sample: Sample): string {
  const { rps, p50Ms, p99Ms, cpuUsPerRequest } = sample;
  return `${integer.format(rps).padStart(7)} req/s  p50 ${two(p50Ms)}  p99 ${two(p99Ms)} ms  ${fixed(1)(cpuUsPerRequest)} µs CPU/req`;
}

/** One line of the soak. */
export function memoryText(rssMb: number, byProcess: Readonly<Record<string, number>>): string {
  const each = Object.entries(byProcess).map(([name, mb]) => `${name} ${integer.format(mb)}`);
  return `sum ${integer.format(rssMb)} MB: ${each.join(", ")}`;
}
