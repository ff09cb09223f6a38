import { setTimeout as sleep } from "node:timers/promises";
import type { House } from "@sluice/launcher";

/** A terminal's Ctrl-C can arrive twice within this time, from the group and from a parent that passes it on. */
const secondInterruptMs = 500;
/** Most stops are over by then. */
const firstLookMs = 700;
const lookEveryMs = 500;

/** What the signals ask for: the first one to stop, Ctrl-C after it to stop at once, one more to let go of everything. */
export interface Interruption {
  readonly stop: Promise<undefined>;
  readonly hurry: Promise<undefined>;
}

export function watchInterrupts(): Interruption {
  const stop = Promise.withResolvers<undefined>();
  const hurry = Promise.withResolvers<undefined>();
  let lastAt = 0;
  let hurried = false;
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
    process.on(signal, () => {
      const isRepeated = lastAt !== 0;
      if (isRepeated && (signal !== "SIGINT" || Date.now() - lastAt < secondInterruptMs)) return;
      lastAt = Date.now();
      stop.resolve(undefined);
      if (hurried) process.exit(130);
      if (!isRepeated) return;
      hurried = true;
      hurry.resolve(undefined);
    });
  }
  return { stop: stop.promise, hurry: hurry.promise };
}

/** Says what the stop waits for while it does, and ends the waiting where that is asked for. */
export function tellOfStop(house: House, { hurry }: Interruption, say: (line: string) => void): Disposable {
  const over = new AbortController();
  void hurry.then(() => house.hurry());
  void tellOfCalls(house, over.signal, say).catch(() => {});
  return { [Symbol.dispose]: () => over.abort() };
}

async function tellOfCalls(house: House, signal: AbortSignal, say: (line: string) => void): Promise<void> {
  let told = 0;
  await sleep(firstLookMs, undefined, { signal, ref: false });
  while (house.of("ingress").length > 0) {
    const calls = await house.callsUnderWay();
    if (calls > 0 && calls !== told)
      say(`waiting for ${calls} ${calls === 1 ? "call" : "calls"}; Ctrl-C again ends it now`);
    told = calls;
    await sleep(lookEveryMs, undefined, { signal, ref: false });
  }
}
