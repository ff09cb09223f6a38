import type { Redis } from "ioredis";
import { redisClock, windowsScript } from "./windows-script.ts";
import type { Take, Taken, Windows } from "./windows.ts";

interface WithScript {
  slideWindows(keyCount: number, ...args: (string | number)[]): Promise<number[]>;
}

/** Windows in Redis, shared by all replicas: one script call decides a batch. */
export class RedisWindows implements Windows {
  readonly #redis: WithScript;

  /** @param clock the script's lines that set `now`, in milliseconds */
  constructor(redis: Redis, clock: string = redisClock) {
    redis.defineCommand("slideWindows", { lua: windowsScript(clock) });
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
    const answers = await this.#redis.slideWindows(indexes.size, ...indexes.keys(), ...windows, ...questions);
    return calls.map((_, at) => readAnswer(answers[at * 2], answers[at * 2 + 1]));
  }
}

function readAnswer(refused: number | undefined, waitMs: number | undefined): Taken {
  if (refused === undefined || waitMs === undefined) throw new Error("the rate limit script answered too little");
  if (refused === 0) return { ok: true };
  return { ok: false, refusedBy: refused - 1, retryAfterSeconds: Math.max(1, Math.ceil(waitMs / 1000)) };
}
