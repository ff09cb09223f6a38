/** Reads Linux' /proc: what each named process and its descendants use. */
import { execFileSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";

export interface NamedProcess {
  readonly name: string;
  readonly pid: number;
}

interface Usage {
  /** CPU since the start, ended children included. */
  readonly cpuUs: number;
  readonly rssKb: number;
}

export type UsageByName = ReadonlyMap<string, Usage>;

let tickUs = 0;

function ticksToUs(ticks: number): number {
  tickUs ||= 1_000_000 / Number(execFileSync("getconf", ["CLK_TCK"], { encoding: "utf8" }));
  return ticks * tickUs;
}

interface Stat {
  readonly pid: number;
  readonly parent: number;
  readonly cpuUs: number;
}

function readStat(pid: number): Stat | undefined {
  const text = readOrNothing(`/proc/${pid}/stat`);
  if (!text) return undefined;
  const fields = text
    .slice(text.lastIndexOf(")") + 2)
    .split(" ")
    .map(Number);
  const at = (number: number) => fields[number - 3] ?? 0;
  return { pid, parent: at(4), cpuUs: ticksToUs(at(14) + at(15) + at(16) + at(17)) };
}

/** A process can end between listing and reading. */
function readOrNothing(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch {
    return "";
  }
}

function memoryOf(pid: number): { ownKb: number; sharedKb: number } {
  const text = readOrNothing(`/proc/${pid}/status`);
  const field = (name: string) => Number(new RegExp(`^${name}:\\s+(\\d+)`, "m").exec(text)?.[1] ?? 0);
  return { ownKb: field("RssAnon") + field("RssFile"), sharedKb: field("RssShmem") };
}

function allStats(): Map<number, Stat> {
  const stats = new Map<number, Stat>();
  for (const entry of readdirSync("/proc")) {
    const stat = /^\d+$/.test(entry) ? readStat(Number(entry)) : undefined;
    if (stat) stats.set(stat.pid, stat);
  }
  return stats;
}

/**
 * Every process counts for the nearest ancestor that has a name, itself included; equal names are added up. Memory that
 * the processes of one tree share (Postgres' buffers) counts once. Throws where a named process is gone.
 */
export function usageOf(named: readonly NamedProcess[]): UsageByName {
  const stats = allStats();
  const gone = named.find(({ pid }) => !stats.has(pid));
  if (gone) throw new Error(`${gone.name} (process ${gone.pid}) has ended during the run`);
  const roots = new Map(named.map(({ name, pid }) => [pid, { name, cpuUs: 0, ownKb: 0, sharedKb: 0 }]));
  for (const stat of stats.values()) {
    let at: Stat | undefined = stat;
    while (at && !roots.has(at.pid)) at = stats.get(at.parent);
    const root = at && roots.get(at.pid);
    if (!root) continue;
    const memory = memoryOf(stat.pid);
    root.cpuUs += stat.cpuUs;
    root.ownKb += memory.ownKb;
    root.sharedKb = Math.max(root.sharedKb, memory.sharedKb);
  }
  const usage = new Map<string, Usage>();
  for (const { name, cpuUs, ownKb, sharedKb } of roots.values()) {
    const before = usage.get(name) ?? { cpuUs: 0, rssKb: 0 };
    usage.set(name, { cpuUs: before.cpuUs + cpuUs, rssKb: before.rssKb + ownKb + sharedKb });
  }
  return usage;
}

/** The process and all that descend from it now. */
export function treeOf(pid: number): number[] {
  const stats = allStats();
  const tree = stats.has(pid) ? [pid] : [];
  for (const parent of tree) for (const stat of stats.values()) if (stat.parent === parent) tree.push(stat.pid);
  return tree;
}

export function isAlive(pid: number): boolean {
  const text = readOrNothing(`/proc/${pid}/stat`);
  return text !== "" && text.charAt(text.lastIndexOf(")") + 2) !== "Z";
}

export function totalCpuUs(usage: UsageByName): number {
  return [...usage.values()].reduce((sum, { cpuUs }) => sum + cpuUs, 0);
}
