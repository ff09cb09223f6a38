import { setTimeout as wait } from "node:timers/promises";
import type { Load, Subject } from "./processes.ts";
import { workloads } from "./workloads.ts";

/** How far the audit service is behind, in messages of its stream, while calls are made. */
export interface AuditLagRow {
  readonly workload: "audit-lag";
  readonly concurrency: number;
  readonly rps: number;
  readonly seconds: number;
  readonly mostMessages: number;
  readonly atTheEnd: number;
  /** From the end of the load until nothing waits; the service looks every 2 s. */
  readonly caughtUpMs: number;
}

const concurrency = 64;
const leastMs = 10_000;
const pollMs = 250;
const catchUpDeadlineMs = 120_000;
/** What it may be behind and still keep up: two looks. */
const soonMs = 5_000;

export async function measureLag(load: Load, subject: Subject, measureMs: number): Promise<AuditLagRow | undefined> {
  const target = subject.targetOf(workloads["unary-256"]);
  const { auditHealth } = subject;
  if (target === undefined || auditHealth === undefined) return undefined;
  await load.send({ do: "open", target, workload: "unary-256", connections: concurrency });
  const durationMs = Math.max(leastMs, measureMs);
  const running = load.send({ do: "run", durationMs });
  const ended = running.then(() => true);
  let most = 0;
  while (!(await Promise.race([ended, wait(pollMs, false)]))) most = Math.max(most, await lagOf(auditHealth));
  const { requests, elapsedMs } = await running;
  const endedMs = performance.now();
  const atTheEnd = await lagOf(auditHealth);
  await load.send({ do: "close" });
  while ((await lagOf(auditHealth)) > 0) {
    if (performance.now() - endedMs > catchUpDeadlineMs) throw new Error("audit does not catch up");
    await wait(pollMs);
  }
  const caughtUpMs = performance.now() - endedMs;
  const rps = (requests / elapsedMs) * 1_000;
  const lag = { mostMessages: Math.max(most, atTheEnd), atTheEnd, caughtUpMs };
  return { workload: "audit-lag", concurrency, rps, seconds: elapsedMs / 1_000, ...lag };
}

async function lagOf(health: string): Promise<number> {
  const text = await fetch(`${health}/metrics`).then((answer) => answer.text());
  const found = /^sluice_audit_lag_messages(?:\{[^}]*\})? (\S+)$/m.exec(text);
  if (found === null) throw new Error("audit does not tell sluice_audit_lag_messages");
  return Number(found[1]);
}

export function lagText({ concurrency: at, rps, mostMessages, atTheEnd, caughtUpMs }: AuditLagRow): string {
  const kept = caughtUpMs <= soonMs ? "kept up" : "did not keep up";
  return `audit-lag     unary-256 at ${at}, ${rps.toFixed(0)} req/s: at most ${mostMessages} messages, ${atTheEnd} at the end, none after ${(caughtUpMs / 1_000).toFixed(1)} s: ${kept}`;
}
