import { setTimeout as delay } from "node:timers/promises";
import { Kvm } from "@nats-io/kv";
import type { Bus } from "./bus.ts";

const openTimeoutMs = 30_000;
const retryMs = 200;

export interface BucketEntry {
  readonly key: string;
  readonly value: Uint8Array;
  readonly operation: string;
  readonly revision: number;
}

export interface Following {
  readonly bucket: string;
  /** Which keys; all unless said. */
  readonly key?: string;
  /** Makes what takes the entries of one reading, which begins with everything there is; it calls back once it has what it needs. */
  readonly begin: (onReady: () => void) => (entry: BucketEntry) => void | Promise<void>;
  /** What an empty bucket holds is all there is; unless said, there has to be something. */
  readonly mayBeEmpty?: boolean;
}

/** Reads a bucket and follows it, until it is disposed of. Resolves after the first complete reading. */
export async function followBucket(bus: Bus, following: Following): Promise<AsyncDisposable> {
  const follower = new Follower(bus, following);
  await follower.start(openTimeoutMs);
  // After a reconnect everything is read again at once: the watch alone takes seconds.
  const off = bus.onReconnect(() => follower.restart());
  return {
    [Symbol.asyncDispose]: async () => {
      off();
      follower.stop();
    },
  };
}

class Follower {
  readonly #bus: Bus;
  readonly #following: Following;
  #stopCurrent: () => void = () => {};
  #generation = 0;

  constructor(bus: Bus, following: Following) {
    this.#bus = bus;
    this.#following = following;
  }

  async start(timeoutMs: number): Promise<void> {
    this.stop();
    const generation = this.#generation;
    const giveUpAt = Date.now() + timeoutMs;
    while (generation === this.#generation) {
      try {
        return await this.#follow(generation);
      } catch (error) {
        if (Date.now() > giveUpAt) throw error;
        await delay(retryMs);
      }
    }
  }

  restart(): void {
    void this.start(Number.POSITIVE_INFINITY);
  }

  stop(): void {
    this.#generation++;
    this.#stopCurrent();
  }

  async #follow(generation: number): Promise<void> {
    const { bucket, key, begin, mayBeEmpty } = this.#following;
    const kv = await new Kvm(this.#bus.nats).open(bucket);
    const entries = await kv.watch(key === undefined ? {} : { key });
    if (generation !== this.#generation) return entries.stop();
    this.#stopCurrent = () => entries.stop();
    const ready = Promise.withResolvers<void>();
    let isReady = false;
    const onReady = () => {
      isReady = true;
      ready.resolve();
    };
    const take = begin(onReady);
    if (mayBeEmpty === true) onReady();
    const consume = async () => {
      for await (const entry of entries) {
        if (generation !== this.#generation) return;
        await take(entry);
      }
    };
    void consume()
      .catch(ready.reject)
      .finally(async () => {
        ready.reject(new Error(`the bucket ${bucket} is not followed any more`));
        await delay(retryMs);
        if (isReady && generation === this.#generation) this.restart();
      });
    await ready.promise.finally(() => isReady || entries.stop());
  }
}
