import { Gauge, type Registry } from "@sluice/telemetry";
import type { Upstreams } from "./upstreams.ts";

/** Shows of each upstream whether its breaker is open. */
export function measureBreakers(upstreams: Upstreams, metrics: Registry): void {
  new Gauge({
    name: "sluice_upstream_breaker_open",
    help: "1 while calls to this upstream are refused because it did not answer lately",
    labelNames: ["tenant", "server"],
    registers: [metrics],
    collect: function () {
      this.reset();
      for (const { tenant, server, open } of upstreams.breakers()) this.set({ tenant, server }, open ? 1 : 0);
    },
  });
}
