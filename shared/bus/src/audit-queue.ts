import { streams } from "@sluice/contracts";
import type { Bus } from "./bus.ts";
import { WorkQueue, type WorkQueueOptions } from "./work-queue.ts";

/** Events are taken in handfuls, not each as it is stored. */
const handfuls = { room: () => 500, openMs: 5, restMs: 50, mostUnacknowledged: 2_000 };

/** The one durable consumer of the AUDIT stream. */
export class AuditQueue extends WorkQueue {
  constructor(bus: Bus, options: Pick<WorkQueueOptions, "ackWaitMs" | "onDelivery">) {
    super(bus, { stream: streams.audit.name, consumer: "audit", ...handfuls, ...options });
  }
}
