import type { Context } from "@sluice/runtime";
import { Gauge } from "@sluice/telemetry";
import type { Config } from "./config.ts";
import type { FallbackState } from "./windows-fallback.ts";

/** Tells operators, in the log, at `/health` and as a metric, whenever a replica begins or ends to count for itself. */
export function createFallbackReport({ log, metrics, report }: Context<Config>): (state: FallbackState) => void {
  const gauge = new Gauge({
    name: "sluice_rate_limit_local",
    help: "1 while Redis does not answer and this replica grants its own share of each limit",
    registers: [metrics],
  });
  let isLocal = false;
  report(() => ({ windows: isLocal ? "local" : "redis" }));
  return ({ local, reason }) => {
    isLocal = local;
    gauge.set(local ? 1 : 0);
    if (local) log.warn({ reason }, "redis does not answer: granting this replica's share of each limit");
    else log.info("redis answers again: limits are shared");
  };
}
