import { setTimeout as delay } from "node:timers/promises";

/** Milliseconds between tries: the first, doubled each time, up to the last. */
export interface Pauses {
  readonly firstMs: number;
  readonly lastMs: number;
}

/** Waits longer after each failure, by chance between half and all of it, so that destinations are not tried all at once. */
export class BackOff {
  readonly #pauses: Pauses;
  #nextMs: number;

  constructor(pauses: Pauses) {
    this.#pauses = pauses;
    this.#nextMs = pauses.firstMs;
  }

  succeeded(): void {
    this.#nextMs = this.#pauses.firstMs;
  }

  /** Returns early where the signal fires. */
  async wait(signal: AbortSignal, atLeastMs = 0): Promise<void> {
    const ms = this.#nextMs * (0.5 + Math.random() / 2);
    this.#nextMs = Math.min(this.#nextMs * 2, this.#pauses.lastMs);
    await sleep(Math.max(ms, atLeastMs), signal);
  }
}

/** Until then, or until the signal fires. */
export async function sleep(ms: number, signal: AbortSignal): Promise<void> {
  await delay(ms, undefined, { signal }).catch(() => {});
}
