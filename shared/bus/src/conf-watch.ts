import { setTimeout as delay } from "node:timers/promises";
import { Kvm, type KV } from "@nats-io/kv";
import { confBucket, decodeJson, encodeJson, sectionSchemas, type SectionName, type Sections } from "@sluice/contracts";
import type { Bus } from "./bus.ts";

const openTimeoutMs = 30_000;
const retryMs = 200;
/** Names the tenants of a version; a service changes over once it holds all of them in that version. */
const commitKey = "_";
/** Which configuration is the current one. No service but control can see it. */
const headKey = "head";

interface Commit {
  readonly version: number;
  readonly tenants: readonly string[];
}

/** The configuration of one service, tenant by tenant, kept up to date. */
export type SectionMap<Name extends SectionName> = ReadonlyMap<string, Sections[Name]>;

/** Everything that control cuts out of one configuration. */
export type AllSections = { readonly [Name in SectionName]: SectionMap<Name> };

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
    const tenants = new Map<string, Sections[Name]>();
    let commit: Commit | undefined;
    for await (const entry of entries) {
      if (generation !== this.#generation) return;
      const name = entry.key.slice(this.#section.length + 1);
      if (name === commitKey) commit = decodeJson<Commit>(entry.value);
      else if (entry.operation === "PUT") tenants.set(name, this.#read(entry.value));
      else tenants.delete(name);
      const whole = commit && wholeVersion(commit, tenants);
      if (whole === undefined) continue;
      commit = undefined;
      await this.#onChange(whole);
      onReady();
    }
  }

  #read(value: Uint8Array): Sections[Name] {
    return sectionSchemas[this.#section].parse(decodeJson(value)) as Sections[Name];
  }
}

function wholeVersion<Section extends { version: number }>(
  commit: Commit,
  tenants: ReadonlyMap<string, Section>,
): ReadonlyMap<string, Section> | undefined {
  const whole = new Map<string, Section>();
  for (const name of commit.tenants) {
    const section = tenants.get(name);
    if (section?.version !== commit.version) return undefined;
    whole.set(name, section);
  }
  return whole;
}

/** Writes a version of the configuration: what is wanted is put and committed, what is gone is deleted. Only control may. */
export async function publishSections(bus: Bus, version: number, wanted: AllSections): Promise<void> {
  const bucket = await new Kvm(bus.nats).open(confBucket);
  const stale = new Set<string>();
  for await (const key of await bucket.keys(Object.keys(wanted).map((section) => `${section}.*`))) stale.add(key);
  for (const [section, tenants] of Object.entries(wanted)) {
    for (const [tenant, value] of tenants) {
      stale.delete(`${section}.${tenant}`);
      await bucket.put(`${section}.${tenant}`, encodeJson(value));
    }
    stale.delete(`${section}.${commitKey}`);
    await bucket.put(`${section}.${commitKey}`, encodeJson({ version, tenants: [...tenants.keys()] } satisfies Commit));
  }
  for (const key of stale) await bucket.delete(key);
}

interface Head {
  readonly version: number;
  readonly digest: string;
}

export interface Edition {
  /** Tells whether two configurations are the same. */
  readonly digest: string;
  /** The version that this process published last: versions grow even where the bucket was lost. */
  readonly after: number;
  cut(version: number): AllSections;
}

/**
 * Makes this configuration the current one under a version of its own and returns that version. Where it is the
 * current one already, in whole, nothing is written: replicas that read the same files agree without a leader.
 */
export async function publishEdition(bus: Bus, edition: Edition): Promise<number> {
  const bucket = await new Kvm(bus.nats).open(confBucket);
  const head = await claim(bucket, edition);
  const sections = edition.cut(head.version);
  if (!(await isWhole(bucket, head.version, sections))) await publishSections(bus, head.version, sections);
  return head.version;
}

async function claim(bucket: KV, { digest, after }: Edition): Promise<Head> {
  for (;;) {
    const entry = await bucket.get(headKey);
    const current = entry?.operation === "PUT" ? decodeJson<Head>(entry.value) : undefined;
    if (current?.digest === digest) return current;
    const next: Head = { version: Math.max(current?.version ?? 0, after) + 1, digest };
    try {
      await bucket.put(headKey, encodeJson(next), { previousSeq: entry?.revision ?? 0 });
      return next;
    } catch (error) {
      if (!isLostRace(error)) throw error;
    }
  }
}

const wrongLastSequence = 10071;

function isLostRace(error: unknown): boolean {
  return (error as { code?: number }).code === wrongLastSequence;
}

async function isWhole(bucket: KV, version: number, sections: AllSections): Promise<boolean> {
  for (const [section, tenants] of Object.entries(sections)) {
    for (const name of [...tenants.keys(), commitKey]) {
      const entry = await bucket.get(`${section}.${name}`);
      if (entry?.operation !== "PUT" || decodeJson<{ version: number }>(entry.value).version !== version) return false;
    }
  }
  return true;
}
