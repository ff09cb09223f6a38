import { Gauge, type Registry } from "@sluice/telemetry";
import type { PinBook } from "./pin-book.ts";

/** Shows how many tools of each server are in quarantine. */
export function measureQuarantine(book: PinBook, metrics: Registry): void {
  new Gauge({
    name: "sluice_tools_quarantined",
    help: "Tools that are out of use until an operator decides about a definition of theirs",
    labelNames: ["tenant", "server"],
    registers: [metrics],
    collect() {
      this.reset();
      for (const { tenant, server, tools } of book.quarantined()) this.set({ tenant, server }, tools);
    },
  });
}
