import { AuditQueue } from "@sluice/bus";
import type { BaseConfig, Context } from "@sluice/runtime";
import { createAuditMetrics } from "./audit-metrics.ts";
import type { Ripeness } from "./batches.ts";
import { keepDeadLetter } from "./dead-letters.ts";
import type { Events } from "./events-postgres.ts";
import { Standing } from "./standing.ts";
import { Writer } from "./writer.ts";

export interface AuditOptions {
  readonly events: Events;
  readonly ackWaitMs: number;
  readonly batch: Ripeness;
}

type AuditContext = Pick<
  Context<BaseConfig>,
  "bus" | "complain" | "log" | "metrics" | "scope" | "report" | "requireReady"
>;

const lookEveryMs = 2_000;
/** How often a message in work says so while it waits for its acknowledgement. */
const holdsPerAckWait = 3;

/**
 * Moves the AUDIT stream into the store. It starts before Postgres and the stream are there and is ready once both are;
 * when it stops, it stores what it has in hand.
 */
export function startAudit(context: AuditContext, { events, ackWaitMs, batch }: AuditOptions): void {
  const { bus, log, scope } = context;
  const metrics = createAuditMetrics(context.metrics);
  const writer = new Writer({
    events,
    batch,
    metrics,
    log,
    keepDeadLetter: (dead, reason) => keepDeadLetter(bus, dead, reason),
  });
  const queue = new AuditQueue(bus, { ackWaitMs, onDelivery: (delivery) => writer.take(delivery) });
  const holding = setInterval(() => bus.connected && writer.hold(), ackWaitMs / holdsPerAckWait);
  scope.defer(async () => {
    await queue.stop();
    await writer.stop();
    clearInterval(holding);
  });
  let reachable = false;
  const standing = new Standing(log);
  const stopLooking = repeat(lookEveryMs, async () => {
    reachable = await events.check().then(
      (excess) => (standing.found(excess), true),
      (error: unknown) => (standing.missed(error), false),
    );
    metrics.lag.set(await queue.pending().catch(() => 0));
  });
  scope.defer(stopLooking);
  context.requireReady(() => reachable && queue.open);
  context.complain(() => [...standing.problems]);
  context.report(() => ({
    postgres: reachable ? "connected" : "disconnected",
    ...standing.report(),
    stream: queue.open ? "open" : "waiting",
  }));
}

function repeat(everyMs: number, work: () => Promise<void>): () => void {
  let timer: NodeJS.Timeout;
  let stopped = false;
  const round = async () => {
    await work();
    if (!stopped) timer = setTimeout(() => void round(), everyMs).unref();
  };
  void round();
  return () => {
    stopped = true;
    clearTimeout(timer);
  };
}
