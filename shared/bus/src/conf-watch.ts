import { setTimeout as delay } from "node:timers/promises";
import { Kvm } from "@nats-io/kv";
import { confBucket, decodeJson, sectionSchemas, type SectionName, type Sections } from "@sluice/contracts";
import type { Bus } from "./bus.ts";
import { commitKey, HeldPieces, type Commit, type SectionMap } from "./conf-pieces.ts";

const openTimeoutMs = 30_000;
const retryMs = 200;
type OnChange<Name extends SectionName> = (tenants: SectionMap<Name>) => void | Promise<void>;

/**
 * Reads this service's part of the configuration and follows it. Resolves after the first complete reading.
 * After a reconnect everything is read again at once (measurement 8).
 */
export async function watchSection<Name extends SectionName>(
  bus: Bus,
  section: Name,
  onChange: OnChange<Name>,
): Promise<AsyncDisposable> {
  const follower = new Follower(bus, section, onChange);
  await follower.start(openTimeoutMs);
  const off = bus.onReconnect(() => follower.restart());
  return {
    [Symbol.asyncDispose]: async () => {
      off();
      follower.stop();
    },
  };
}

class Follower<Name extends SectionName> {
  readonly #bus: Bus;
  readonly #section: Name;
  readonly #onChange: OnChange<Name>;
  #stopCurrent: () => void = () => {};
  #generation = 0;

  constructor(bus: Bus, section: Name, onChange: OnChange<Name>) {
    this.#bus = bus;
    this.#section = section;
    this.#onChange = onChange;
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
    const bucket = await new Kvm(this.#bus.nats).open(confBucket);
    const entries = await bucket.watch({ key: `${this.#section}.*` });
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
        ready.reject(new Error("the configuration is not followed any more"));
        await delay(retryMs);
        if (isReady && generation === this.#generation) this.restart();
      });
    await ready.promise.finally(() => isReady || entries.stop());
  }

  async #consume(
    entries: AsyncIterable<{ key: string; value: Uint8Array; operation: string }>,
    generation: number,
    onReady: () => void,
  ): Promise<void> {
    const pieces = new HeldPieces();
    let commit: Commit | undefined;
    for await (const entry of entries) {
      if (generation !== this.#generation) return;
      const name = entry.key.slice(this.#section.length + 1);
      if (name === commitKey) commit = decodeJson<Commit>(entry.value);
      else if (entry.operation === "PUT") pieces.put(name, entry.value);
      else pieces.delete(name);
      const whole = commit && pieces.take(commit);
      if (whole === undefined) continue;
      commit = undefined;
      await this.#onChange(new Map([...whole].map(([tenant, bytes]) => [tenant, this.#read(bytes)])));
      onReady();
    }
  }

  #read(value: Uint8Array): Sections[Name] {
    return sectionSchemas[this.#section].parse(decodeJson(value)) as Sections[Name];
  }
}
