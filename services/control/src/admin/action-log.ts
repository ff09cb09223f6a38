import { Tally, type AuditLog } from "@sluice/bus";
import { toFault, type Action } from "@sluice/contracts";

/** Refused calls that are alike are counted for so long and then leave one event. */
const summaryMs = 60_000;
const mostGroups = 1_000;

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
  readonly #refused: Tally<Pick<Action, "operator" | "action" | "fault">>;
  #number = 0;

  constructor(log: AuditLog, instance: string) {
    this.#log = log;
    this.#instance = instance;
    this.#refused = new Tally({
      everyMs: summaryMs,
      mostGroups,
      leavesFirst: true,
      coarse: ({ fault }) => ({ action: "*", fault }),
      tell: ({ group, count }) => this.#tell({ ...group, result: "refused", count }),
    });
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
    const { operator, action } = deed;
    if (this.#refused.add({ operator, action, fault })) this.#tell({ ...deed, result: "refused", fault, count: 1 });
  }

  [Symbol.dispose](): void {
    this.#refused[Symbol.dispose]();
  }

  #tell(action: Omit<Action, "id" | "at">): void {
    this.#log.add({ event: "action", ...action, id: this.#nextId(), at: Date.now() });
  }

  #nextId(): string {
    return `${this.#instance}-a${++this.#number}`;
  }
}
