import type { AuditLog, SectionMap } from "@sluice/bus";
import { gatewayLog, toFault } from "@sluice/contracts";
import type { BaseConfig, Context } from "@sluice/runtime";
import { Counter, describeError, Gauge } from "@sluice/telemetry";
import type { PoolClient } from "pg";
import { followAuditConf } from "../audit-conf.ts";
import type { Keeper } from "./keeper.ts";
import { forgetUnused, prunable, prune } from "./prune.ts";

export interface RetentionOptions {
  readonly keeper: Keeper;
  readonly trail: Pick<AuditLog, "add" | "addNow">;
  readonly everyMs: number;
}

type RetentionContext = Pick<Context<BaseConfig>, "bus" | "complain" | "log" | "metrics" | "scope" | "stopping">;

const dayMs = 86_400_000;
/** One replica at a time. */
const lockKey = 7_583_224;

/** Removes events that are older than `retentionDays` of their log: once as the configuration comes, then every `everyMs`. */
export function startRetention(context: RetentionContext, { keeper, trail, everyMs }: RetentionOptions): void {
  const { bus, log, scope } = context;
  const metrics = createMetrics(context.metrics);
  let sections: SectionMap<"audit"> = new Map();
  let problem: string | undefined;
  let running: Promise<void> | undefined;
  let numbers = 0;
  const nextId = () => `${bus.instance}-r${++numbers}`;
  const round = async () => {
    const kept = [...sections].flatMap(([name, { retentionDays: days }]) =>
      days === undefined ? [] : [{ name, days }],
    );
    if (kept.length === 0) return;
    try {
      await keeper.use((client) =>
        alone(client, async () => {
          for (const { name, days } of kept) {
            const before = new Date(Date.now() - days * dayMs);
            await pruneLog(client, { name, before, trail, nextId, metrics, stopping: context.stopping });
          }
          metrics.lastRun.setToCurrentTime();
        }),
      );
      problem = undefined;
    } catch (error) {
      metrics.failures.inc();
      problem = "events that are older than retentionDays could not be removed: see the log of the audit service";
      log.error({ error: describeError(error) }, "retention failed; it is tried again");
    }
  };
  const begin = () => (running ??= round().finally(() => (running = undefined)));
  followAuditConf(context, (logs) => {
    sections = logs;
    void begin();
  });
  const timer = setInterval(() => void begin(), everyMs);
  scope.defer(async () => {
    clearInterval(timer);
    await running;
  });
  context.complain(() => (problem === undefined ? [] : [problem]));
}

async function alone(client: PoolClient, work: () => Promise<void>): Promise<void> {
  const { rows } = await client.query<{ got: boolean }>("select pg_try_advisory_lock($1) as got", [lockKey]);
  if (rows[0]?.got !== true) return;
  try {
    await work();
  } finally {
    await client.query("select pg_advisory_unlock($1)", [lockKey]);
  }
}

interface LogPruning {
  readonly name: string;
  readonly before: Date;
  readonly trail: RetentionOptions["trail"];
  readonly nextId: () => string;
  readonly metrics: ReturnType<typeof createMetrics>;
  readonly stopping: AbortSignal;
}

/** What is removed is on record before it is. */
async function pruneLog(client: PoolClient, { name, before, ...rest }: LogPruning): Promise<void> {
  const { trail, nextId, metrics, stopping } = rest;
  let removed = 0;
  while (!stopping.aborted) {
    const range = await prunable(client, name, before);
    if (range === undefined) break;
    const deed = {
      event: "action",
      id: nextId(),
      action: "audit.retention",
      subject: `${range.from}-${range.to - 1}`,
      count: range.to - range.from,
      ...(name !== gatewayLog && { tenant: name }),
    } as const;
    await trail.addNow({ ...deed, at: Date.now(), result: "begun" });
    try {
      const events = await prune(client, name, range);
      removed += events;
      metrics.removed.inc(events);
      trail.add({ ...deed, at: Date.now(), result: "done" });
    } catch (error) {
      trail.add({ ...deed, at: Date.now(), result: "failed", fault: toFault(error).kind });
      throw error;
    }
  }
  if (removed > 0) metrics.forgotten.inc(await forgetUnused(client, name));
}

function createMetrics(registry: RetentionContext["metrics"]) {
  const registers = [registry];
  return {
    removed: new Counter({
      name: "sluice_audit_retention_removed_total",
      help: "Events removed because they were older than retentionDays",
      registers,
    }),
    forgotten: new Counter({
      name: "sluice_audit_retention_forgotten_total",
      help: "People forgotten because no event speaks of them any more",
      registers,
    }),
    failures: new Counter({
      name: "sluice_audit_retention_failures_total",
      help: "Rounds of retention that failed",
      registers,
    }),
    lastRun: new Gauge({
      name: "sluice_audit_retention_last_run_timestamp_seconds",
      help: "When this replica last went through all logs that have retentionDays",
      registers,
    }),
  };
}
