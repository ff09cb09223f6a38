import type { Outcome } from "@sluice/contracts";
import { AuditLog } from "./audit-log.ts";
import type { Bus } from "./bus.ts";

/** The outcomes of calls; what is left of them at the bus' end shows as "outcome unknown". */
export class OutcomeLog extends AuditLog<Outcome> {
  constructor(bus: Bus) {
    super(bus, "outcomes");
  }
}
