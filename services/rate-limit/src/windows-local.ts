import type { CountedWindow, Slot } from "@sluice/contracts";
import { LocalSlots } from "./local-slots.ts";
import { LocalWindow } from "./local-window.ts";
import { isSlot, slotWaitMs, type Take, type Taken, type Windows, type WindowTake } from "./windows.ts";

export interface LocalWindowsOptions {
  /** Milliseconds of a clock that never goes back. */
  readonly now: () => number;
  /** Windows and slot keys kept at a time; calls that would need more are refused. */
  readonly maxWindows?: number;
}

const defaultMaxWindows = 100_000;
const fewestToSweep = 1_024;
const sweepEveryMs = 1_000;

interface Kept {
  readonly window: LocalWindow;
  sustained: number | undefined;
}

/** Windows and slots in this process' memory. */
export class LocalWindows implements Windows {
  readonly #now: () => number;
  readonly #maxWindows: number;
  readonly #windows = new Map<string, Kept>();
  readonly #slots = new LocalSlots();
  #sweepAt: number;
  #sweptAt = Number.NEGATIVE_INFINITY;

  constructor(options: LocalWindowsOptions) {
    this.#now = options.now;
    this.#maxWindows = options.maxWindows ?? defaultMaxWindows;
    this.#sweepAt = Math.min(this.#maxWindows, fewestToSweep);
  }

  async take(calls: readonly (readonly Take[])[]): Promise<readonly Taken[]> {
    const now = this.#now();
    if (this.#size >= this.#sweepAt && now - this.#sweptAt >= sweepEveryMs) this.#sweep(now);
    const decided = calls.map((takes) => this.#decide(takes, now));
    return decided.map((taken, index) => {
      const left = (calls[index] ?? []).map((take) => Math.max(0, this.#room(take, now)));
      return taken.ok ? { ...taken, left } : taken;
    });
  }

  async give(calls: number, windows: readonly CountedWindow[]): Promise<void> {
    let gone = false;
    for (const { key, part, ifNew } of windows) {
      const kept = this.#windows.get(key);
      if (kept === undefined || (ifNew === true && !gone)) continue;
      gone = kept.window.give(ifNew === true ? 1 : calls, part, kept.sustained);
      if (gone) this.#windows.delete(key);
    }
  }

  async hold(slots: readonly Slot[]): Promise<void> {
    const now = this.#now();
    for (const slot of slots) if (this.#size < this.#maxWindows) this.#slots.hold(slot, now);
  }

  async end(slots: readonly Slot[]): Promise<void> {
    for (const slot of slots) this.#slots.end(slot);
  }

  /** Every call that is in flight. */
  slots(): readonly Slot[] {
    return this.#slots.all(this.#now());
  }

  get #size(): number {
    return this.#windows.size + this.#slots.size;
  }

  #decide(takes: readonly Take[], now: number): Taken {
    const applying = takes.map((take, index) => this.#applies(take, takes[index - 1], now));
    let refusedBy = -1;
    let longestMs = 0;
    takes.forEach((take, index) => {
      if (!applying[index] || this.#room(take, now) > 0) return;
      const waitMs = this.#waitMs(take, now);
      if (refusedBy >= 0 && waitMs <= longestMs) return;
      longestMs = waitMs;
      refusedBy = index;
    });
    if (refusedBy >= 0) return { ok: false, refusedBy, retryAfterSeconds: Math.max(1, Math.ceil(longestMs / 1000)) };
    return {
      ok: true,
      isLocal: true,
      left: [],
      counted: this.#count(
        takes.filter((_, at) => applying[at]),
        now,
      ),
    };
  }

  #applies(take: Take, before: Take | undefined, now: number): boolean {
    if (isSlot(take) || take.ifNew !== true || before === undefined) return true;
    const kept = this.#windows.get(before.key);
    kept?.window.forget(now);
    return kept === undefined || kept.window.isOver(now, kept.sustained);
  }

  #count(takes: readonly Take[], now: number) {
    const windows: CountedWindow[] = [];
    const keys: string[] = [];
    let id = "";
    for (const take of takes) {
      if (isSlot(take)) {
        keys.push(take.key);
        id = take.slot;
      } else windows.push(this.#add(take, now));
    }
    if (keys.length === 0) return { windows };
    this.#slots.hold({ id, keys }, now);
    return { windows, slot: { id, keys } };
  }

  #add(take: WindowTake, now: number): CountedWindow {
    const { key, windowMs, sustained, ifNew } = take;
    const kept = this.#windows.get(key) ?? { window: new LocalWindow(windowMs), sustained };
    kept.sustained = sustained;
    kept.window.add(now, take);
    this.#windows.set(key, kept);
    return { key, part: kept.window.partOf(now), ...(ifNew === true && { ifNew }) };
  }

  /** None where there is no place for what would have to be remembered. */
  #room(take: Take, now: number): number {
    if (isSlot(take)) {
      const used = this.#slots.used(take.key, now);
      return used === 0 && this.#size >= this.#maxWindows ? 0 : take.maxConcurrent - used;
    }
    const window = this.#windowOf(take.key, now);
    if (window !== undefined) return window.room(now, take);
    return this.#size < this.#maxWindows ? take.limit : 0;
  }

  #waitMs(take: Take, now: number): number {
    if (isSlot(take)) return slotWaitMs;
    return this.#windowOf(take.key, now)?.waitMs(now, take) ?? take.windowMs;
  }

  #windowOf(key: string, now: number): LocalWindow | undefined {
    const kept = this.#windows.get(key);
    kept?.window.forget(now);
    return kept?.window;
  }

  #sweep(now: number): void {
    for (const [key, { window, sustained }] of this.#windows) {
      window.forget(now);
      if (window.isOver(now, sustained)) this.#windows.delete(key);
    }
    this.#slots.sweep(now);
    this.#sweptAt = now;
    this.#sweepAt = Math.min(this.#maxWindows, Math.max(fewestToSweep, this.#size * 2));
  }
}
