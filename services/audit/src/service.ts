import { AuditQueue, type StreamState } from "@sluice/bus";
import type { BaseConfig, Context } from "@sluice/runtime";
import { describeError } from "@sluice/telemetry";
import { createAuditMetrics, type AuditMetrics } from "./audit-metrics.ts";
import { Backlog } from "./backlog.ts";
import type { Ripeness } from "./batches.ts";
import { keepDeadLetter } from "./dead-letters.ts";
import { Emitters } from "./emitters.ts";
import type { Events } from "./events-postgres.ts";
import type { OpenCalls } from "./open-calls-postgres.ts";
import { Reconciler } from "./reconciler.ts";
import { Standing } from "./standing.ts";
import { Writer } from "./writer.ts";

export interface AuditOptions {
  readonly events: Events;
  readonly calls: OpenCalls;
  /** An emitter that was not heard for so long tells no outcome any more; 15 s unless said. */
  readonly goneAfterMs?: number;
  readonly ackWaitMs: number;
  readonly batch: Ripeness;
}

type AuditContext = Pick<
  Context<BaseConfig>,
  "bus" | "complain" | "log" | "metrics" | "scope" | "report" | "requireReady"
>;

const lookEveryMs = 2_000;
const usuallyGoneAfterMs = 15_000;
/** How often a message in work says so while it waits for its acknowledgement. */
const holdsPerAckWait = 3;

/**
 * Moves the AUDIT stream into the store. It starts before Postgres and the stream are there and is ready once both are;
 * when it stops, it stores what it has in hand.
 */
export function startAudit(context: AuditContext, options: AuditOptions): void {
  const { bus, log, scope } = context;
  const { events, ackWaitMs, batch } = options;
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
  const backlog = new Backlog({ bus, metrics, log });
  const reconcile = reconciling(context, options, metrics);
  let reachable = false;
  const standing = new Standing(log);
  const looking = repeat(lookEveryMs, async () => {
    reachable = await events.check().then(
      (excess) => (standing.found(excess), true),
      (error: unknown) => (standing.missed(error), false),
    );
    metrics.lag.set(await queue.pending().catch(() => 0));
    const stream = await backlog.look();
    if (reachable && stream !== undefined) await reconcile(stream);
  });
  scope.use(looking);
  context.requireReady(() => reachable && queue.open && writer.trouble === undefined);
  context.complain(() => [
    ...(writer.trouble === undefined ? [] : [writer.trouble]),
    ...backlog.problems,
    ...standing.problems,
  ]);
  context.report(() => ({
    postgres: reachable ? "connected" : "disconnected",
    ...standing.report(),
    stream: queue.open ? "open" : "waiting",
    storing: writer.trouble ?? "ok",
    ...backlog.told,
  }));
}

function reconciling(context: AuditContext, options: AuditOptions, metrics: AuditMetrics) {
  const { bus, log, scope } = context;
  const { calls, events, goneAfterMs = usuallyGoneAfterMs } = options;
  const emitters = scope.use(new Emitters(bus, goneAfterMs));
  const reconciler = new Reconciler({ calls, events, emitters, instance: bus.instance, metrics, log });
  return (stream: StreamState) =>
    reconciler.round(stream).catch((error: unknown) => {
      log.warn({ error: describeError(error) }, "it can't be found out now which calls have no outcome");
    });
}

/** Does the work again and again; disposed of, it has ended. */
function repeat(everyMs: number, work: () => Promise<void>): AsyncDisposable {
  let timer: NodeJS.Timeout | undefined;
  let stopped = false;
  let running: Promise<void>;
  const round = async () => {
    await work();
    if (!stopped) timer = setTimeout(begin, everyMs).unref();
  };
  const begin = () => void (running = round());
  begin();
  return {
    [Symbol.asyncDispose]: () => {
      stopped = true;
      clearTimeout(timer);
      return running;
    },
  };
}
