import { subWindows, type WindowTake } from "./windows.ts";

/** One sliding window in this process' memory; counts as the one in Redis does (`windowsScript`). */
export class LocalWindow {
  total = 0;
  readonly #windowMs: number;
  readonly #partMs: number;
  /** Parts that still count, oldest first. */
  #parts: { readonly part: number; count: number }[] = [];
  /** `subWindows` for each call, as it was in the newest part that was counted in. */
  #debt = 0;
  #debtPart = 0;

  constructor(windowMs: number) {
    this.#windowMs = windowMs;
    this.#partMs = windowMs / subWindows;
  }

  forget(now: number): void {
    const oldest = this.partOf(now) - subWindows;
    let gone = 0;
    for (const { part, count } of this.#parts) {
      if (part >= oldest) break;
      this.total -= count;
      gone++;
    }
    if (gone > 0) this.#parts = this.#parts.slice(gone);
  }

  /** Whether nothing is counted, nor owed to the sustained limit. */
  isOver(now: number, sustained = 0): boolean {
    return this.total === 0 && (sustained === 0 || this.#debtAt(now, sustained) === 0);
  }

  add(now: number, { sustained = 0 }: WindowTake): void {
    const part = this.partOf(now);
    const newest = this.#parts.at(-1);
    if (newest?.part === part) newest.count++;
    else this.#parts.push({ part, count: 1 });
    this.total++;
    this.#debt = sustained > 0 ? this.#debtAt(now, sustained) + subWindows : 0;
    this.#debtPart = part;
  }

  /** Takes calls back that were counted in a part; says whether nothing is left. */
  give(calls: number, part: number, sustained = 0): boolean {
    const counted = this.#parts.find((each) => each.part === part);
    const back = Math.min(calls, counted?.count ?? 0);
    if (counted === undefined || back === 0) return false;
    counted.count -= back;
    this.total -= back;
    const paid = sustained * (this.#debtPart - part);
    this.#debt = Math.max(0, this.#debt - Math.max(0, back * subWindows - paid));
    return this.total === 0 && this.#debt === 0;
  }

  /** Calls that would pass. */
  room(now: number, { limit, sustained = 0 }: WindowTake): number {
    const free = limit - this.total;
    if (sustained === 0) return free;
    return Math.min(free, Math.floor((limit * subWindows - this.#debtAt(now, sustained)) / subWindows));
  }

  /** Until one more call would pass. */
  waitMs(now: number, { limit, sustained = 0 }: WindowTake): number {
    if (limit <= 0) return this.#windowMs;
    const over = this.#debtAt(now, sustained) + subWindows - limit * subWindows;
    const paidMs =
      sustained > 0 && over > 0 ? (this.partOf(now) + Math.ceil(over / sustained)) * this.#partMs - now : 0;
    return Math.max(paidMs, this.#freeMs(limit, now));
  }

  partOf(now: number): number {
    return Math.floor(now / this.#partMs);
  }

  /** Until enough of the oldest parts have gone. */
  #freeMs(limit: number, now: number): number {
    if (this.total < limit) return 0;
    let left = this.total;
    for (const { part, count } of this.#parts) {
      left -= count;
      if (left < limit) return (part + 1) * this.#partMs + this.#windowMs - now;
    }
    return this.#windowMs;
  }

  #debtAt(now: number, sustained: number): number {
    return Math.max(0, this.#debt - sustained * (this.partOf(now) - this.#debtPart));
  }
}
