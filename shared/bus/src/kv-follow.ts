import { setTimeout as delay } from "node:timers/promises";
import { Kvm, type KvWatchEntry } from "@nats-io/kv";
import type { Bus } from "./bus.ts";

const openTimeoutMs = 30_000;
const retryMs = 200;

/** One reading of a bucket, from what it holds at the beginning to each change after it. */
export interface Reading {
  /** Takes one entry; whether everything that is needed has been read by now. */
  take(entry: KvWatchEntry): boolean | Promise<boolean>;
}

export interface FollowOptions {
  readonly bucket: string;
  readonly key: string;
  /** A reading is begun anew after each reconnect, and wherever one ended. */
  readonly begin: () => Reading;
}

/**
 * Reads the keys of a bucket and follows them. Resolves after the first complete reading.
 * After a reconnect everything is read again at once (measurement 8).
 */
export async function followBucket(bus: Bus, options: FollowOptions): Promise<AsyncDisposable> {
  const follower = new Follower(bus, options);
  await follower.start(openTimeoutMs);
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
  readonly #options: FollowOptions;
  #stopCurrent: () => void = () => {};
  #generation = 0;

  constructor(bus: Bus, options: FollowOptions) {
    this.#bus = bus;
    this.#options = options;
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
        // A service that stops before control has made the bucket does not wait for it.
        await delay(retryMs, undefined, { ref: false });
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
    const { bucket: name, key } = this.#options;
    const bucket = await new Kvm(this.#bus.nats).open(name);
    const entries = await bucket.watch({ key });
    if (generation !== this.#generation) return entries.stop();
    this.#stopCurrent = () => entries.stop();
    const ready = Promise.withResolvers<void>();
    let isReady = false;
    const onReady = () => {
      isReady = true;
      ready.resolve();
    };
    void this.#consume(entries, generation, onReady)
      .catch(ready.reject)
      .finally(async () => {
        ready.reject(new Error(`the bucket ${name} is not followed any more`));
        await delay(retryMs);
        if (isReady && generation === this.#generation) this.restart();
      });
    await ready.promise.finally(() => isReady || entries.stop());
  }

  async #consume(entries: AsyncIterable<KvWatchEntry>, generation: number, onReady: () => void): Promise<void> {
    const reading = this.#options.begin();
    for await (const entry of entries) {
      if (generation !== this.#generation) return;
      if (await reading.take(entry)) onReady();
    }
  }
}
