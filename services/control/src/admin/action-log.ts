import type { AuditLog } from "@sluice/bus";
import { toFault, type Action } from "@sluice/contracts";

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
export class ActionLog implements Disposable {
  readonly #log: AuditLog;
  readonly #instance: string;
  readonly #refused = new Map<string, { readonly deed: Deed; readonly fault: string; count: number }>();
  readonly #timer: NodeJS.Timeout;
  #number = 0;

  constructor(log: AuditLog, instance: string) {
    this.#log = log;
    this.#instance = instance;
    this.#timer = setInterval(() => this.#summarize(), summaryMs).unref();
  }

  /** Resolves once it is on record that this is being done. @throws Fault `unavailable`: then it must not be done. */
  async begin(deed: Deed): Promise<BegunDeed> {
    const id = this.#nextId();
    const tell = (rest: Pick<Action, "result" | "subject" | "fault">) =>
      this.#log.add({ event: "action", ...deed, ...rest, id, at: Date.now() });
    try {
      await this.#log.addNow({ event: "action", ...deed, id, at: Date.now(), result: "begun" });
    } catch (error) {
      const fault = toFault(error);
      // That it was begun may be stored yet: then it is to be known that it was not done.
      tell({ result: "failed", fault: fault.kind });
      throw fault;
    }
    return {
      done: (made) => tell({ result: "done", ...(made !== undefined && { subject: made }) }),
      failed: (fault) => tell({ result: "failed", fault }),
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

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
    this.#summarize();
  }

  #summarize(): void {
    for (const [key, refusal] of this.#refused) {
      if (refusal.count === 0) this.#refused.delete(key);
      else this.#addRefusal(refusal.deed, refusal.fault, refusal.count);
      refusal.count = 0;
    }
  }

  #addRefusal(deed: Deed, fault: string, count: number): void {
    this.#log.add({ event: "action", ...deed, id: this.#nextId(), at: Date.now(), result: "refused", fault, count });
  }

  #nextId(): string {
    return `${this.#instance}-a${++this.#number}`;
  }
}
