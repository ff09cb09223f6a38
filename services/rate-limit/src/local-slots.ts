import { slotLifeMs, type Slot } from "@sluice/contracts";

/** Calls in flight, in this process' memory. */
export class LocalSlots {
  /** Slot key → call → when it counts no more. */
  readonly #keys = new Map<string, Map<string, number>>();

  get size(): number {
    return this.#keys.size;
  }

  used(key: string, now: number): number {
    const calls = this.#keys.get(key);
    if (calls === undefined) return 0;
    for (const [call, until] of calls) if (until <= now) calls.delete(call);
    if (calls.size === 0) this.#keys.delete(key);
    return calls.size;
  }

  hold({ id, keys }: Slot, now: number): void {
    for (const key of keys) {
      let calls = this.#keys.get(key);
      if (calls === undefined) this.#keys.set(key, (calls = new Map<string, number>()));
      calls.set(id, now + slotLifeMs);
    }
  }

  end({ id, keys }: Slot): void {
    for (const key of keys) {
      const calls = this.#keys.get(key);
      calls?.delete(id);
      if (calls?.size === 0) this.#keys.delete(key);
    }
  }

  /** Every call that is in flight. */
  all(now: number): Slot[] {
    const keysOf = new Map<string, string[]>();
    for (const [key, calls] of this.#keys) {
      for (const [call, until] of calls) if (until > now) keysOf.set(call, [...(keysOf.get(call) ?? []), key]);
    }
    return [...keysOf].map(([id, keys]) => ({ id, keys }));
  }

  sweep(now: number): void {
    for (const key of [...this.#keys.keys()]) this.used(key, now);
  }
}
