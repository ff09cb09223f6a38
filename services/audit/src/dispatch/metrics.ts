import { Counter, Gauge, type Registry } from "@sluice/telemetry";
import type { Follower } from "./follower.ts";

export type DestinationMetrics = ReturnType<typeof createDestinationMetrics>;

/** What operators see of destinations, each told by the replica that serves it. */
export function createDestinationMetrics(registry: Registry, followers: () => Iterable<Follower>) {
  const labels = { labelNames: ["log", "destination"] as const, registers: [registry] };
  const gauge = (name: string, help: string, of: (follower: Follower) => number) =>
    new Gauge({
      name,
      help,
      ...labels,
      collect: function () {
        this.reset();
        for (const follower of followers())
          this.set({ log: follower.place.log, destination: follower.place.name }, of(follower));
      },
    });
  gauge(
    "sluice_audit_destination_up",
    "1 unless the destination could not be reached when it was tried last",
    (each) => (each.problem === undefined ? 1 : 0),
  );
  gauge(
    "sluice_audit_destination_lag_events",
    "Events of the log that the destination has not got",
    (each) => each.lag.events,
  );
  gauge("sluice_audit_destination_lag_seconds", "Age of the oldest of them", (each) => each.lag.seconds);
  return {
    sent: new Counter({ name: "sluice_audit_destination_sent_total", help: "Records that it took", ...labels }),
    failures: new Counter({ name: "sluice_audit_destination_failures_total", help: "Tries that failed", ...labels }),
    buried: new Counter({
      name: "sluice_audit_destination_dead_letters_total",
      help: "Records that it refuses, kept in AUDIT_DEAD",
      ...labels,
    }),
  };
}
