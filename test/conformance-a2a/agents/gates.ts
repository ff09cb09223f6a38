import { setTimeout as sleep } from "node:timers/promises";

/** Thrown into a behaviour whose task was cancelled. */
export class Cancelled extends Error {}

/** Where behaviours wait until the test lets them go on, or for a tick where the agent has one. */
export class Gates {
  readonly #tickMs: number | undefined;
  readonly #permits = new Map<string, number>();
  readonly #cancelled = new Set<string>();
  #waiters: { readonly task: string; readonly go: () => void; readonly stop: (error: Error) => void }[] = [];

  constructor(tickMs?: number) {
    this.#tickMs = tickMs;
  }

  /** Ids of tasks that wait, as the agent calls them. */
  get waiting(): readonly string[] {
    return this.#waiters.map(({ task }) => task);
  }

  async pass(task: string): Promise<void> {
    if (this.#cancelled.has(task)) throw new Cancelled();
    if (this.#tickMs !== undefined) {
      await sleep(this.#tickMs);
      if (this.#cancelled.has(task)) throw new Cancelled();
      return;
    }
    const key = this.#permits.has(task) ? task : "";
    const permits = this.#permits.get(key) ?? 0;
    if (permits > 1) this.#permits.set(key, permits - 1);
    else this.#permits.delete(key);
    if (permits > 0) return;
    await new Promise<void>((go, stop) => this.#waiters.push({ task, go, stop }));
  }

  /** Lets a task pass that many gates, now and later; any task where none is named. */
  release({ task = "", count = 1 }: { readonly task?: string; readonly count?: number } = {}): void {
    for (let left = count; left > 0; left--) {
      const at = this.#waiters.findIndex((waiter) => task === "" || waiter.task === task);
      if (at < 0) {
        this.#permits.set(task, (this.#permits.get(task) ?? 0) + left);
        return;
      }
      this.#waiters.splice(at, 1)[0]?.go();
    }
  }

  cancel(task: string): void {
    this.#cancelled.add(task);
    const mine = this.#waiters.filter((waiter) => waiter.task === task);
    this.#waiters = this.#waiters.filter((waiter) => waiter.task !== task);
    for (const { stop } of mine) stop(new Cancelled());
  }

  /** Ends everything that waits. */
  close(): void {
    for (const { task } of [...this.#waiters]) this.cancel(task);
  }
}
