import type { Redis } from "ioredis";
import type { CountedWindow, Slot } from "@sluice/contracts";
import { giveScript, holdScript, redisClock, windowsScript } from "./windows-script.ts";
import { isSlot, type SlotTake, type Take, type Taken, type Windows, type WindowTake } from "./windows.ts";

interface WithScript {
  slideWindows(keyCount: number, ...args: (string | number)[]): Promise<number[]>;
  giveToWindows(keyCount: number, ...args: (string | number)[]): Promise<null>;
  holdSlots(keyCount: number, ...args: string[]): Promise<null>;
}

/** So many keys are named in one script call: Redis serves others in between. */
const keysAtOnce = 500;

/** Windows and slots in Redis, shared by all replicas: one script call decides a batch. */
export class RedisWindows implements Windows {
  readonly #redis: WithScript & Redis;

  /** @param clock the script's lines that set `now`, in milliseconds */
  constructor(redis: Redis, clock: string = redisClock) {
    redis.defineCommand("slideWindows", { lua: windowsScript(clock) });
    redis.defineCommand("giveToWindows", { lua: giveScript });
    redis.defineCommand("holdSlots", { lua: holdScript(clock) });
    this.#redis = redis as WithScript & Redis;
  }

  async take(calls: readonly (readonly Take[])[]): Promise<readonly Taken[]> {
    const question = new Question(calls);
    return question.read(await this.#redis.slideWindows(question.keyCount, ...question.args));
  }

  async give(calls: number, windows: readonly CountedWindow[]): Promise<void> {
    const keys = windows.map(({ key }) => key);
    await this.#redis.giveToWindows(
      keys.length,
      ...keys,
      ...windows.flatMap(({ part, ifNew }) => [part, ifNew === true ? 0 : calls]),
    );
  }

  async hold(slots: readonly Slot[]): Promise<void> {
    const places = placesOf(slots);
    for (let at = 0; at < places.length; at += keysAtOnce) {
      const some = places.slice(at, at + keysAtOnce);
      await this.#redis.holdSlots(some.length, ...some.map(({ key }) => key), ...some.map(({ id }) => id));
    }
  }

  async end(slots: readonly Slot[]): Promise<void> {
    const places = placesOf(slots);
    for (let at = 0; at < places.length; at += keysAtOnce) {
      const pipeline = this.#redis.pipeline();
      for (const { key, id } of places.slice(at, at + keysAtOnce)) pipeline.zrem(key, id);
      for (const [error] of (await pipeline.exec()) ?? []) if (error !== null) throw error;
    }
  }
}

function placesOf(slots: readonly Slot[]): { key: string; id: string }[] {
  return slots.flatMap(({ id, keys }) => keys.map((key) => ({ key, id })));
}

const answersPerCall = 3;
const answersPerKey = 2;

/** One batch as the script takes it, and its answers as the script gives them. */
class Question {
  readonly #calls: readonly (readonly Take[])[];
  /** Each key with its place, from 1: windows first. */
  readonly #places = new Map<string, number>();

  readonly args: readonly (string | number)[];

  constructor(calls: readonly (readonly Take[])[]) {
    this.#calls = calls;
    const windows = new Map<string, WindowTake>();
    const slots = new Map<string, SlotTake>();
    for (const take of calls.flat()) {
      if (isSlot(take)) slots.set(take.key, slots.get(take.key) ?? take);
      else windows.set(take.key, windows.get(take.key) ?? take);
    }
    for (const key of [...windows.keys(), ...slots.keys()]) this.#places.set(key, this.#places.size + 1);
    this.args = [
      ...this.#places.keys(),
      windows.size,
      ...[...windows.values()].flatMap(({ limit, windowMs, sustained = 0 }) => [limit, windowMs, sustained]),
      ...[...slots.values()].map(({ maxConcurrent }) => maxConcurrent),
      ...calls.flatMap((takes) => [
        takes.find(isSlot)?.slot ?? "",
        takes.length,
        ...takes.map((take) => this.#at(take)),
      ]),
    ];
  }

  get keyCount(): number {
    return this.#places.size;
  }

  read(answers: readonly number[]): Taken[] {
    const perKey = answers.slice(this.#calls.length * answersPerCall);
    return this.#calls.map((takes, call) => {
      const [refused, ms, leased] = answers.slice(call * answersPerCall);
      if (refused === undefined || ms === undefined || leased === undefined || perKey.length !== 2 * this.keyCount)
        throw new Error("the rate limit script answered too little");
      if (refused > 0)
        return { ok: false, refusedBy: refused - 1, retryAfterSeconds: Math.max(1, Math.ceil(ms / 1000)) };
      const left = takes.map((take) => this.#ofKey(take.key, perKey)[1]);
      return {
        ok: true,
        counted: this.#counted(takes, perKey),
        left,
        ...(leased > 0 && { lease: { calls: leased, ms } }),
      };
    });
  }

  #at(take: Take): number {
    const place = this.#places.get(take.key) ?? 0;
    return !isSlot(take) && take.ifNew === true ? -place : place;
  }

  #ofKey(key: string, perKey: readonly number[]): [part: number, left: number] {
    const at = ((this.#places.get(key) ?? 1) - 1) * answersPerKey;
    return [perKey[at] ?? 0, perKey[at + 1] ?? 0];
  }

  #counted(takes: readonly Take[], perKey: readonly number[]) {
    const windows = takes.filter((take): take is WindowTake => !isSlot(take));
    const slots = takes.filter(isSlot);
    const [first] = slots;
    return {
      windows: windows.map(({ key, ifNew }) => ({ key, part: this.#ofKey(key, perKey)[0], ...(ifNew && { ifNew }) })),
      ...(first !== undefined && { slot: { id: first.slot, keys: slots.map(({ key }) => key) } }),
    };
  }
}
