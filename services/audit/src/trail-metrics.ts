import { Counter, Gauge, type Registry } from "@sluice/telemetry";

export type TrailMetrics = ReturnType<typeof createTrailMetrics>;

export function createTrailMetrics(registry: Registry, isActive: () => boolean) {
  const registers = [registry];
  return {
    published: new Counter({
      name: "sluice_trail_published_total",
      help: "Stored events brought to the TRAIL stream by this replica",
      registers,
    }),
    active: new Gauge({
      name: "sluice_trail_publisher",
      help: "1 where this replica brings stored events to the TRAIL stream",
      registers,
      collect() {
        this.set(isActive() ? 1 : 0);
      },
    }),
  };
}
