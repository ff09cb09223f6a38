import { Tally, type AuditLog } from "@sluice/bus";
import { toFault, type Action } from "@sluice/contracts";

/** Calls that are alike, and refused or change nothing, are counted for so long and then leave one event. */
const summaryMs = 60_000;
const mostGroups = 1_000;

/** Who did what to what. */
export type Deed = Pick<Action, "operator" | "action" | "tenant" | "subject">;

/** What is summed up together. */
type Alike = Pick<Action, "operator" | "action" | "result" | "fault">;

/** A deed that is on record and not over. */
export interface BegunDeed {
  done(made?: string): void;
  failed(fault: string): void;
}

/** The admin API's part of the audit trail. */
export class ActionLog implements Disposable {
  readonly #log: AuditLog;
  readonly #instance: string;
  readonly #alike: Tally<Alike>;
  #number = 0;

  constructor(log: AuditLog, instance: string) {
    this.#log = log;
    this.#instance = instance;
    this.#alike = new Tally({
      everyMs: summaryMs,
      mostGroups,
      leavesFirst: true,
      coarse: ({ result, fault }) => ({ action: "*", result, ...(fault !== undefined && { fault }) }),
      tell: ({ group, count }) => this.#tell({ ...group, count }),
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
    this.#count(deed, { result: "refused", fault });
  }

  /** What changes nothing; summed up like what is refused. */
  looked(deed: Deed): void {
    this.#count(deed, { result: "noted" });
  }

  /** What came about by other ways than the admin API. */
  noted(deed: Deed, fault?: string): void {
    this.#tell({ ...deed, ...(fault === undefined ? { result: "noted" } : { result: "refused", fault }) });
  }

  [Symbol.dispose](): void {
    this.#alike[Symbol.dispose]();
  }

  #count(deed: Deed, ending: Pick<Action, "result" | "fault">): void {
    const { operator, action } = deed;
    const isFirst = this.#alike.add({ ...(operator !== undefined && { operator }), action, ...ending });
    if (isFirst) this.#tell({ ...deed, ...ending, count: 1 });
  }

  #tell(action: Omit<Action, "id" | "at">): void {
    this.#log.add({ event: "action", ...action, id: this.#nextId(), at: Date.now() });
  }

  #nextId(): string {
    return `${this.#instance}-a${++this.#number}`;
  }
}
