import { ChainedPublisher } from "@sluice/bus";
import { streams } from "@sluice/contracts";
import type { BaseConfig, Context, DatabaseOptions } from "@sluice/runtime";
import { Database } from "@sluice/runtime/postgres";
import { auditSchema } from "@sluice/schema";
import { createTrailMetrics } from "./trail-metrics.ts";
import { TrailPlaces } from "./trail-places.ts";
import { TrailPublisher } from "./trail-publisher.ts";

type TrailContext = Pick<Context<BaseConfig>, "bus" | "log" | "metrics" | "scope" | "report">;

/** One connection has the lock for as long as this replica is the one that publishes. */
const connections = 2;

/** Begins to bring stored events to the TRAIL stream, now or when the replica that does it is gone. */
export function startTrail(context: TrailContext, options: DatabaseOptions): TrailPublisher {
  const { bus, log, scope } = context;
  const database = scope.use(
    new Database(options, {
      ...auditSchema,
      migrates: false,
      name: "sluice-trail",
      connections,
      connectTimeoutMs: 5_000,
      queryTimeoutMs: 30_000,
    }),
  );
  const publisher: TrailPublisher = new TrailPublisher({
    places: new TrailPlaces(database),
    publisher: new ChainedPublisher(bus, streams.trail.name),
    metrics: createTrailMetrics(context.metrics, () => publisher.active),
    log,
  });
  scope.defer(() => publisher.stop());
  context.report(() => ({ trail: publisher.active ? "publishing" : "waiting" }));
  return publisher;
}
