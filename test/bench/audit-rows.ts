import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import { canonicalJson } from "@sluice/json";
import { Edge, leafHash } from "../../services/audit/src/tree.ts";
import { AuditParts } from "./audit-parts.ts";
import { usageOf, type NamedProcess } from "./proc.ts";

/** From the AUDIT stream to the committed row. */
interface AuditStoreRow {
  readonly workload: "audit-store";
  readonly events: number;
  readonly eventsPerSecond: number;
  readonly cpuUsByProcess: Readonly<Record<string, number>>;
}

/** What the tree costs the audit service, per event. */
interface AuditTreeRow {
  readonly workload: "audit-tree";
  readonly events: number;
  readonly recordAndLeafUs: number;
  readonly appendUs: number;
  readonly cpuUs: number;
}

/** `sluice audit verify` over all that was stored. */
interface AuditVerifyRow {
  readonly workload: "audit-verify";
  readonly events: number;
  readonly seconds: number;
  readonly eventsPerSecond: number;
  readonly peakRssMb: number;
}

export type AuditRow = AuditStoreRow | AuditTreeRow | AuditVerifyRow;
export type AuditRowName = AuditRow["workload"];

/** The stream holds so many at a time. */
const sliceEvents = 100_000;
const pollMs = 20;
const drainDeadlineMs = 600_000;
const stopDeadlineMs = 30_000;
const leavesPerBatch = 500;
const sluice = resolve(import.meta.dirname, "../../cli/bin/sluice.mjs");

/** Measures what is wanted; a verification needs what was stored before. */
export async function measureAudit(wanted: readonly AuditRowName[], events: number): Promise<AuditRow[]> {
  const rows: AuditRow[] = [];
  if (wanted.includes("audit-tree")) rows.push(measureTree(Math.min(events, sliceEvents)));
  if (wanted.every((name) => name === "audit-tree")) return rows;
  await using parts = await AuditParts.start();
  const stored = await measureStore(parts, events);
  if (wanted.includes("audit-store")) rows.push(stored);
  if (wanted.includes("audit-verify")) rows.push(await measureVerify(parts, events));
  return rows;
}

async function measureStore(parts: AuditParts, events: number): Promise<AuditStoreRow> {
  let elapsedMs = 0;
  const cpu = new Map<string, number>();
  for (let done = 0; done < events; done += sliceEvents) {
    const slice = Math.min(sliceEvents, events - done);
    await parts.fill(slice);
    const { ms, cpuUs } = await drain(parts);
    elapsedMs += ms;
    for (const [name, us] of cpuUs) cpu.set(name, (cpu.get(name) ?? 0) + us);
    console.log(`audit-store  ${done + slice} events, the last ${slice} in ${(ms / 1_000).toFixed(1)} s`);
  }
  const cpuUsByProcess = Object.fromEntries([...cpu].map(([name, us]) => [name, us / events]));
  return { workload: "audit-store", events, eventsPerSecond: (events / elapsedMs) * 1_000, cpuUsByProcess };
}

/** From the first message that is gone to the last: the service's own start does not count. */
async function drain(parts: AuditParts): Promise<{ ms: number; cpuUs: ReadonlyMap<string, number> }> {
  const full = await parts.waiting();
  const audit = await parts.startAudit();
  try {
    const named: NamedProcess[] = [
      { name: "audit", pid: audit.pid ?? 0 },
      { name: "postgres", pid: parts.postgres.pid ?? 0 },
      { name: "nats", pid: parts.nats.pid ?? 0 },
    ];
    await until(async () => (await parts.waiting()) < full);
    const [startedMs, before] = [performance.now(), usageOf(named)];
    await until(async () => (await parts.waiting()) === 0);
    const ms = performance.now() - startedMs;
    const after = usageOf(named);
    return {
      ms,
      cpuUs: new Map([...after].map(([name, { cpuUs }]) => [name, cpuUs - (before.get(name)?.cpuUs ?? 0)])),
    };
  } finally {
    await audit.stop("SIGTERM", stopDeadlineMs);
  }
}

async function until(holds: () => Promise<boolean>): Promise<void> {
  const untilMs = performance.now() + drainDeadlineMs;
  while (!(await holds())) {
    if (performance.now() > untilMs) throw new Error("the audit service does not take what is in its stream");
    await wait(pollMs);
  }
}

/** The same work as in each storing transaction, without Postgres' part: a head per transaction, a tile per 256 events. */
function measureTree(events: number): AuditTreeRow {
  const records = Array.from({ length: events }, (_, number) => recordOf(number));
  const edge = new Edge();
  const beganAt = process.cpuUsage();
  const [startedMs, hashes] = [performance.now(), records.map((record) => leafHash(canonicalJson(record)))];
  const hashedMs = performance.now();
  for (const [at, hash] of hashes.entries()) {
    edge.append(hash);
    if (at % leavesPerBatch === 0) void edge.root;
  }
  const { user, system } = process.cpuUsage(beganAt);
  return {
    workload: "audit-tree",
    events,
    recordAndLeafUs: ((hashedMs - startedMs) * 1_000) / events,
    appendUs: ((performance.now() - hashedMs) * 1_000) / events,
    cpuUs: (user + system) / events,
  };
}

function recordOf(number: number): Record<string, string | number> {
  return {
    ...{ event_id: `bench-${number}.i`, log: "bench", schema: 1, kind: "intent", at: "2026-11-21T10:00:00.000Z" },
    ...{ emitter: "bench", seq: number, tenant: "bench", call: `bench-${number}`, bytes: 420, auth: "apiKey" },
    ...{ label: "mcp_proxy", protocol: "mcp", era: "modern", http: "POST", path: "/mcp", method: "tools/call" },
    ...{ target: "echo-256", server: "bench", rpc_id: "1", trace: String(number).padStart(32, "0") },
    ...{ agent_id: "ab".repeat(32), agent_name: "cd".repeat(32), arguments_hash: "ef".repeat(32) },
    stored_at: "2026-11-21T10:00:00.120Z",
  };
}

async function measureVerify({ postgres }: AuditParts, events: number): Promise<AuditVerifyRow> {
  const env = { ...process.env, DATABASE_URL: postgres.url };
  const startedMs = performance.now();
  const child = spawn(process.execPath, [sluice, "audit", "verify"], { env, stdio: ["ignore", "ignore", "inherit"] });
  let peakKb = 0;
  const timer = setInterval(() => (peakKb = Math.max(peakKb, peakOf(child.pid ?? 0))), pollMs);
  const [code] = (await once(child, "exit")) as [number | null];
  clearInterval(timer);
  const seconds = (performance.now() - startedMs) / 1_000;
  if (code !== 0) throw new Error(`sluice audit verify ended with ${code}`);
  return { workload: "audit-verify", events, seconds, eventsPerSecond: events / seconds, peakRssMb: peakKb / 1_024 };
}

/** 0 where the process is gone. */
function peakOf(pid: number): number {
  try {
    return Number(/^VmHWM:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1] ?? 0);
  } catch {
    return 0;
  }
}

/** A line for each. */
export function auditText(rows: readonly AuditRow[]): string {
  return rows.map(lineOf).join("\n");
}

function lineOf(row: AuditRow): string {
  const head = `${row.workload.padEnd(13)} ${row.events} events`;
  if (row.workload === "audit-tree")
    return `${head}: ${row.cpuUs.toFixed(1)} µs CPU per event; record and leaf ${row.recordAndLeafUs.toFixed(1)} µs, append ${row.appendUs.toFixed(1)} µs`;
  const perSecond = `${row.eventsPerSecond.toFixed(0)} events/s`;
  if (row.workload === "audit-verify")
    return `${head} in ${row.seconds.toFixed(1)} s: ${perSecond}, at most ${row.peakRssMb.toFixed(0)} MB`;
  const cpu = Object.entries(row.cpuUsByProcess).map(([name, us]) => `${name} ${us.toFixed(1)}`);
  return `${head}: ${perSecond}, CPU µs per event: ${cpu.join(", ")}`;
}
