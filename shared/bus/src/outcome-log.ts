import type { Outcome, StreamEvent } from "@sluice/contracts";
import { AuditLog } from "./audit-log.ts";
import type { Bus } from "./bus.ts";

/** The outcomes of calls, and the events of their tasks' streams; what is left of outcomes at the bus' end shows as "outcome unknown". */
export class OutcomeLog extends AuditLog<Outcome> {
  readonly #streamEvents: AuditLog<StreamEvent>;

  constructor(bus: Bus) {
    super(bus, "outcomes");
    this.#streamEvents = new AuditLog(bus, "streamEvents");
  }

  override get full(): boolean {
    return super.full || this.#streamEvents.full;
  }

  /** One event of a stream, told once by who has the subscription. */
  addStreamEvent(event: StreamEvent): void {
    this.#streamEvents.add(event);
  }

  override async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([super[Symbol.asyncDispose](), this.#streamEvents[Symbol.asyncDispose]()]);
  }
}
