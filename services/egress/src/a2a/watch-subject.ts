import type { Observed } from "@sluice/a2a";
import { BadEvent } from "./watch-events.ts";

type Names = Pick<Observed, "task" | "context">;

/** The one task that a watch is of, by the upstream's ids: what tells of another is shown to nobody. */
export class WatchSubject {
  #task: string | undefined;
  #context: string | undefined;

  /** What is known of it from the start. */
  constructor({ task, context }: Names) {
    this.#task = task;
    this.#context = context;
  }

  get task(): string | undefined {
    return this.#task;
  }

  /** What is known of it by now. */
  get names(): Names {
    return {
      ...(this.#task !== undefined && { task: this.#task }),
      ...(this.#context !== undefined && { context: this.#context }),
    };
  }

  /** @throws BadEvent where it is about another task, or places this one in another context */
  require({ task, context }: Names): void {
    if (task !== undefined && this.#task !== undefined && task !== this.#task)
      throw new BadEvent("upstream_failed", "the agent tells of another task than this one");
    if (context !== undefined && this.#context !== undefined && context !== this.#context)
      throw new BadEvent("upstream_failed", "the agent tells of another context than the task's");
  }

  /** Keeps what is named for the first time, and says whether anything is. @throws BadEvent as `require` */
  take(names: Names): boolean {
    this.require(names);
    const { task, context } = names;
    const isNew = (this.#task ?? task) !== this.#task || (this.#context ?? context) !== this.#context;
    this.#task ??= task;
    this.#context ??= context;
    return isNew;
  }
}
