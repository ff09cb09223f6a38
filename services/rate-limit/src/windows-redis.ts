import type { Redis } from "ioredis";
import type { CountedWindow } from "@sluice/contracts";
import { giveScript, redisClock, windowsScript } from "./windows-script.ts";
import type { Take, Taken, Windows } from "./windows.ts";

interface WithScript {
  slideWindows(keyCount: number, ...args: (string | number)[]): Promise<number[]>;
  giveToWindows(keyCount: number, ...args: (string | number)[]): Promise<null>;
}

/** Windows in Redis, shared by all replicas: one script call decides a batch. */
export class RedisWindows implements Windows {
  readonly #redis: WithScript;

  /** @param clock the script's lines that set `now`, in milliseconds */
  constructor(redis: Redis, clock: string = redisClock) {
    redis.defineCommand("slideWindows", { lua: windowsScript(clock) });
    redis.defineCommand("giveToWindows", { lua: giveScript });
    this.#redis = redis as unknown as WithScript;
  }

  async take(calls: readonly (readonly Take[])[]): Promise<readonly Taken[]> {
    const indexes = new Map<string, number>();
    const windows: number[] = [];
    const questions: number[] = [];
    for (const takes of calls) {
      questions.push(takes.length);
      for (const { key, limit, windowMs } of takes) {
        let index = indexes.get(key);
        if (index === undefined) {
          index = indexes.size + 1;
          indexes.set(key, index);
          windows.push(limit, windowMs);
        }
        questions.push(index);
      }
    }
    const keys = [...indexes.keys()];
    const answers = await this.#redis.slideWindows(keys.length, ...keys, ...windows, ...questions);
    const parts = answers.slice(calls.length * answersPerCall);
    const windowsOf = (takes: readonly Take[]): CountedWindow[] =>
      takes.map(({ key }) => ({ key, part: parts[(indexes.get(key) ?? 0) - 1] ?? 0 }));
    return calls.map((takes, call) => {
      const [refused, ms, leased] = answers.slice(call * answersPerCall);
      if (refused === undefined || ms === undefined || leased === undefined)
        throw new Error("the rate limit script answered too little");
      if (refused > 0)
        return { ok: false, refusedBy: refused - 1, retryAfterSeconds: Math.max(1, Math.ceil(ms / 1000)) };
      return { ok: true, windows: windowsOf(takes), ...(leased > 0 && { lease: { calls: leased, ms } }) };
    });
  }

  async give(calls: number, windows: readonly CountedWindow[]): Promise<void> {
    const keys = windows.map(({ key }) => key);
    await this.#redis.giveToWindows(keys.length, ...keys, ...windows.flatMap(({ part }) => [part, calls]));
  }
}

const answersPerCall = 3;
