import { setTimeout as wait } from "node:timers/promises";
import type { LoadResult } from "./load.ts";
import { totalCpuUs, usageOf, type NamedProcess, type UsageByName } from "./proc.ts";
import type { Load, Subject, UpstreamProcess } from "./processes.ts";
import { workloads, type WorkloadName } from "./workloads.ts";

export interface Cell {
  readonly workload: WorkloadName;
  readonly concurrency: number;
}

/** The figures of one run. */
export interface Sample {
  readonly rps: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly cpuUsPerRequest: number;
  readonly cpuUsByProcess: Readonly<Record<string, number>>;
  readonly rssMb: number;
  readonly rssMbByProcess: Readonly<Record<string, number>>;
  readonly loadCpuUsPerRequest: number;
  /** Share of one core that the load generator took: near 1, it was the limit. */
  readonly loadCpuShare: number;
  readonly requests: number;
  /** How many requests came to the upstream for each that was sent. */
  readonly upstreamPerRequest: number;
}

/** What a run is made with and counted by. */
export interface Meters {
  readonly load: Load;
  readonly upstream: UpstreamProcess;
}

const quietStepMs = 200;
const quietCpuUs = 20_000;
const quietDeadlineMs = 10_000;

/** Waits until work put off (audit batches, inserts) is done, so that it counts for the run that caused it. */
async function untilQuiet(processes: readonly NamedProcess[]): Promise<UsageByName> {
  const untilMs = Date.now() + quietDeadlineMs;
  let before = usageOf(processes);
  for (;;) {
    await wait(quietStepMs);
    const now = usageOf(processes);
    if (totalCpuUs(now) - totalCpuUs(before) <= quietCpuUs || Date.now() > untilMs) return now;
    before = now;
  }
}

type Figures = Omit<Sample, "upstreamPerRequest">;

function figuresOf(result: LoadResult, before: UsageByName, after: UsageByName): Figures {
  const cpuUsByProcess: Record<string, number> = {};
  const rssMbByProcess: Record<string, number> = {};
  for (const [name, { cpuUs, rssKb }] of after) {
    cpuUsByProcess[name] = (cpuUs - (before.get(name)?.cpuUs ?? 0)) / result.requests;
    rssMbByProcess[name] = rssKb / 1024;
  }
  const sum = (values: Record<string, number>) => Object.values(values).reduce((total, value) => total + value, 0);
  return {
    rps: (result.requests / result.elapsedMs) * 1_000,
    p50Ms: result.p50Ms,
    p99Ms: result.p99Ms,
    cpuUsPerRequest: sum(cpuUsByProcess),
    cpuUsByProcess,
    rssMb: sum(rssMbByProcess),
    rssMbByProcess,
    loadCpuUsPerRequest: result.cpuUs / result.requests,
    loadCpuShare: result.cpuUs / 1_000 / result.elapsedMs,
    requests: result.requests,
  };
}

export interface Run {
  readonly subject: Subject;
  readonly cell: Cell;
  readonly warmUpMs: number;
  readonly measureMs: number;
}

/** One run on warm connections; undefined where the subject cannot do it, throws where a single answer is wrong. */
export async function measure({ load, upstream }: Meters, run: Run): Promise<Sample | undefined> {
  const { subject, cell } = run;
  const target = subject.targetOf(workloads[cell.workload]);
  if (!target) return undefined;
  try {
    await load.send({ do: "open", target, workload: cell.workload, connections: cell.concurrency });
    if (run.warmUpMs > 0) await load.send({ do: "run", durationMs: run.warmUpMs });
    const before = await untilQuiet(subject.processes);
    const earlier = await upstream.requests();
    const result = await load.send({ do: "run", durationMs: run.measureMs });
    const after = await untilQuiet(subject.processes);
    await load.send({ do: "close" });
    const upstreamPerRequest = ((await upstream.requests()) - earlier) / result.requests;
    return { ...figuresOf(result, before, after), upstreamPerRequest };
  } catch (error) {
    throw new Error(`${subject.name}, ${cell.workload} at ${cell.concurrency}: ${(error as Error).message}`, {
      cause: error,
    });
  }
}
