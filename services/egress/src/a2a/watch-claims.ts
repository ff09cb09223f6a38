import type { Bus } from "@sluice/bus";
import {
  decodeJson,
  encodeJson,
  Fault,
  subjects,
  type TaskWatch,
  type TaskWatchChange,
  type TaskWatched,
} from "@sluice/contracts";

const timeoutMs = 2_000;

/** Which task is to be watched. */
export type Claim = Pick<TaskWatchChange, "tenant" | "server" | "task">;

/** Which replica watches a task is decided in one place, by compare and set. */
export class WatchClaims {
  readonly #bus: Bus;

  constructor(bus: Bus) {
    this.#bus = bus;
  }

  /** Takes a task whose watch is gone, or that has none; gives back who has it where that is another. @throws Fault `unavailable` */
  async take(claim: Claim, watch: TaskWatch, gone: TaskWatch | undefined): Promise<TaskWatch | undefined> {
    let expected = gone;
    for (let tries = 0; tries < 3; tries++) {
      const told = await this.#ask({ ...claim, watch, ...(expected !== undefined && { expected }) });
      if (told.ok || (told.watch !== undefined && isSame(told.watch, watch))) return undefined;
      const isGone = told.watch !== undefined && gone !== undefined && isSame(told.watch, gone);
      if (told.watch !== undefined && !isGone) return told.watch;
      expected = told.watch;
    }
    throw new Fault("unavailable", "who watches the task could not be decided");
  }

  /** Says that nobody has it any more, where this watch had it. What is not heard is found out by the next who asks. */
  async giveUp(claim: Claim, watch: TaskWatch): Promise<void> {
    await this.#ask({ ...claim, expected: watch }).catch(() => {});
  }

  async #ask(change: TaskWatchChange): Promise<TaskWatched> {
    const subject = subjects.ask("session-manager", "tasks-watch");
    const answer = await this.#bus.ask(subject, encodeJson(change), { timeoutMs }).catch((cause: unknown) => {
      throw new Fault("unavailable", "who watches the task could not be asked", { cause });
    });
    return decodeJson<TaskWatched>(answer.data);
  }
}

function isSame(one: TaskWatch, other: TaskWatch): boolean {
  return one.egress === other.egress && one.stream === other.stream;
}
