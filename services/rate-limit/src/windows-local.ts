import { subWindows, type Take, type Taken, type Windows } from "./windows.ts";

export interface LocalWindowsOptions {
  /** Milliseconds of a clock that never goes back. */
  readonly now: () => number;
  /** Windows kept at a time; calls that would need more are refused. */
  readonly maxWindows?: number;
}

const defaultMaxWindows = 100_000;
const fewestToSweep = 1_024;
const sweepEveryMs = 1_000;

/** Windows in this process' memory. */
export class LocalWindows implements Windows {
  readonly #now: () => number;
  readonly #maxWindows: number;
  readonly #windows = new Map<string, LocalWindow>();
  #sweepAt: number;
  #sweptAt = Number.NEGATIVE_INFINITY;

  constructor(options: LocalWindowsOptions) {
    this.#now = options.now;
    this.#maxWindows = options.maxWindows ?? defaultMaxWindows;
    this.#sweepAt = Math.min(this.#maxWindows, fewestToSweep);
  }

  async take(calls: readonly (readonly Take[])[]): Promise<readonly Taken[]> {
    const now = this.#now();
    if (this.#windows.size >= this.#sweepAt && now - this.#sweptAt >= sweepEveryMs) this.#sweep(now);
    return calls.map((takes) => this.#decide(takes, now));
  }

  /** Nothing is leased here. */
  async give(): Promise<void> {}

  #decide(takes: readonly Take[], now: number): Taken {
    const windows = takes.map((take) => this.#windowOf(take, now));
    let refusedBy = -1;
    let longestMs = 0;
    takes.forEach((take, index) => {
      const window = windows[index];
      if (window !== undefined && window.total < take.limit) return;
      const waitMs = window?.waitMs(take.limit, now) ?? take.windowMs;
      if (refusedBy >= 0 && waitMs <= longestMs) return;
      longestMs = waitMs;
      refusedBy = index;
    });
    if (refusedBy >= 0) return { ok: false, refusedBy, retryAfterSeconds: Math.max(1, Math.ceil(longestMs / 1000)) };
    takes.forEach((take, index) => {
      windows[index]?.add(now);
      if (windows[index] !== undefined) this.#windows.set(take.key, windows[index]);
    });
    return { ok: true };
  }

  #windowOf(take: Take, now: number): LocalWindow | undefined {
    const known = this.#windows.get(take.key);
    known?.forget(now);
    if (known !== undefined) return known;
    return this.#windows.size < this.#maxWindows ? new LocalWindow(take.windowMs) : undefined;
  }

  #sweep(now: number): void {
    for (const [key, window] of this.#windows) {
      window.forget(now);
      if (window.total === 0) this.#windows.delete(key);
    }
    this.#sweptAt = now;
    this.#sweepAt = Math.min(this.#maxWindows, Math.max(fewestToSweep, this.#windows.size * 2));
  }
}

class LocalWindow {
  total = 0;
  readonly #windowMs: number;
  readonly #partMs: number;
  /** Parts that still count, oldest first. */
  #parts: { readonly part: number; count: number }[] = [];

  constructor(windowMs: number) {
    this.#windowMs = windowMs;
    this.#partMs = windowMs / subWindows;
  }

  forget(now: number): void {
    const oldest = this.#partOf(now) - subWindows;
    let gone = 0;
    for (const { part, count } of this.#parts) {
      if (part >= oldest) break;
      this.total -= count;
      gone++;
    }
    if (gone > 0) this.#parts = this.#parts.slice(gone);
  }

  add(now: number): void {
    const part = this.#partOf(now);
    const newest = this.#parts.at(-1);
    if (newest?.part === part) newest.count++;
    else this.#parts.push({ part, count: 1 });
    this.total++;
  }

  /** Until enough of the oldest parts have gone for one more call. */
  waitMs(limit: number, now: number): number {
    if (limit <= 0) return this.#windowMs;
    let left = this.total;
    for (const { part, count } of this.#parts) {
      left -= count;
      if (left < limit) return (part + 1) * this.#partMs + this.#windowMs - now;
    }
    return this.#windowMs;
  }

  #partOf(now: number): number {
    return Math.floor(now / this.#partMs);
  }
}
