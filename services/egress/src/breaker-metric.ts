import { Gauge, type Registry } from "@sluice/telemetry";
import type { ConnectedEndpoints, Reachable } from "./connected-endpoints.ts";

/** Shows of each upstream whether its breaker is open. */
export function measureBreakers(all: readonly ConnectedEndpoints<Reachable>[], metrics: Registry): void {
  new Gauge({
    name: "sluice_upstream_breaker_open",
    help: "1 while calls to this upstream are refused because it did not answer lately",
    labelNames: ["tenant", "server", "protocol"],
    registers: [metrics],
    collect: function () {
      this.reset();
      for (const endpoints of all)
        for (const { tenant, server, open } of endpoints.breakers())
          this.set({ tenant, server, protocol: endpoints.protocol }, open ? 1 : 0);
    },
  });
}
