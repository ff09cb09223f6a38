import { setTimeout as sleep } from "node:timers/promises";

/** Waits for a condition that becomes true by somebody else's doing; the last value that was not undefined or false is returned. */
export async function until<T>(what: string, probe: () => T | Promise<T>, timeoutMs = 15_000): Promise<NonNullable<T>> {
  const giveUpAt = Date.now() + timeoutMs;
  for (;;) {
    const value = await probe();
    if (value !== undefined && value !== null && value !== false) return value;
    if (Date.now() > giveUpAt) throw new Error(`waited ${timeoutMs} ms in vain for: ${what}`);
    await sleep(20);
  }
}
