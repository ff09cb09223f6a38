import { Counter, Gauge, type Registry } from "@sluice/telemetry";

/** What monitoring learns of the configuration. */
export interface ConfMetrics {
  readonly refused: Counter;
  readonly version: Gauge;
  readonly publishFailures: Counter;
}

export function createConfMetrics(metrics: Registry, isStale: () => boolean): ConfMetrics {
  const registers = [metrics];
  new Gauge({
    name: "sluice_conf_stale",
    help: "1 while what stands in the file is not what is in force",
    registers,
    collect: function () {
      this.set(isStale() ? 1 : 0);
    },
  });
  return {
    refused: new Counter({
      name: "sluice_conf_errors_total",
      help: "Edits of the configuration that were refused",
      registers,
    }),
    version: new Gauge({ name: "sluice_conf_version", help: "Version of the configuration in force", registers }),
    publishFailures: new Counter({
      name: "sluice_conf_publish_failures_total",
      help: "Times that the bus did not take the configuration; each is tried again",
      registers,
    }),
  };
}
