import { AuditLog, type Bus } from "@sluice/bus";
import type { Action } from "@sluice/contracts";

/** Refused calls that are alike are counted for so long and then leave one event. */
const summaryMs = 60_000;

/** Who did what to what. */
export type Deed = Pick<Action, "operator" | "action" | "tenant" | "subject">;

/** A deed that is on record and not over. */
export interface BegunDeed {
  done(made?: string): void;
  failed(fault: string): void;
}

/** The admin API's part of the audit trail. */
export class ActionLog implements AsyncDisposable {
  readonly #log: AuditLog<Action>;
  readonly #instance: string;
  readonly #refused = new Map<string, { readonly deed: Deed; readonly fault: string; count: number }>();
  readonly #timer: NodeJS.Timeout;
  #number = 0;

  constructor(bus: Bus) {
    this.#log = new AuditLog(bus, "actions");
    this.#instance = bus.instance;
    this.#timer = setInterval(() => this.#summarize(), summaryMs).unref();
  }

  /** Resolves once it is on record that this is being done. @throws Fault `unavailable`: then it must not be done. */
  async begin(deed: Deed): Promise<BegunDeed> {
    const id = this.#nextId();
    await this.#log.addNow({ ...deed, id, at: Date.now(), result: "begun" });
    return {
      done: (made) =>
        this.#log.add({ ...deed, ...(made !== undefined && { subject: made }), id, at: Date.now(), result: "done" }),
      failed: (fault) => this.#log.add({ ...deed, id, at: Date.now(), result: "failed", fault }),
    };
  }

  /** The first of its kind leaves an event at once, those of the next minute one together. */
  refused(deed: Deed, fault: string): void {
    const key = JSON.stringify([deed.operator, deed.action, fault]);
    const known = this.#refused.get(key);
    if (known !== undefined) {
      known.count++;
      return;
    }
    this.#refused.set(key, { deed: { operator: deed.operator, action: deed.action }, fault, count: 0 });
    this.#addRefusal(deed, fault, 1);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    clearInterval(this.#timer);
    this.#summarize();
    await this.#log[Symbol.asyncDispose]();
  }

  #summarize(): void {
    for (const [key, refusal] of this.#refused) {
      if (refusal.count === 0) this.#refused.delete(key);
      else this.#addRefusal(refusal.deed, refusal.fault, refusal.count);
      refusal.count = 0;
    }
  }

  #addRefusal(deed: Deed, fault: string, count: number): void {
    this.#log.add({ ...deed, id: this.#nextId(), at: Date.now(), result: "refused", fault, count });
  }

  #nextId(): string {
    return `${this.#instance}-a${++this.#number}`;
  }
}
