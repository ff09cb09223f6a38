import { Kvm, type KV } from "@nats-io/kv";
import { confBucket, decodeJson, encodeJson } from "@sluice/contracts";
import type { Bus } from "./bus.ts";
import { isLostRace } from "./lost-race.ts";
import { commitKey, piecesOf, versionOf, type AllSections, type Commit } from "./conf-pieces.ts";

/** Which configuration is the current one. No service but control can see it. */
const headKey = "head";

/** Writes a version of the configuration: what is wanted is put and committed, what is gone is deleted. Only control may. */
export async function publishSections(bus: Bus, version: number, wanted: AllSections): Promise<void> {
  const bucket = await new Kvm(bus.nats).open(confBucket);
  const stale = new Set<string>();
  for await (const key of await bucket.keys(Object.keys(wanted).map((section) => `${section}.*`))) stale.add(key);
  for (const [section, tenants] of Object.entries(wanted)) {
    const counts: Record<string, number> = {};
    await severalAtOnce(tenants as ReadonlyMap<string, { version: number }>, async ([tenant, value]) => {
      const pieces = piecesOf(tenant, value);
      counts[tenant] = pieces.length;
      for (const [name, piece] of pieces) {
        stale.delete(`${section}.${name}`);
        await bucket.put(`${section}.${name}`, piece);
      }
    });
    stale.delete(`${section}.${commitKey}`);
    await bucket.put(`${section}.${commitKey}`, encodeJson({ version, tenants: counts } satisfies Commit));
  }
  await severalAtOnce(stale, (key) => bucket.delete(key));
}

/** Tenants are many, and each write is a question to JetStream. */
const atOnce = 32;

async function severalAtOnce<Item>(items: Iterable<Item>, work: (item: Item) => Promise<unknown>): Promise<void> {
  const left = items[Symbol.iterator]();
  const worker = async () => {
    for (let next = left.next(); next.done !== true; next = left.next()) await work(next.value);
  };
  await Promise.all(Array.from({ length: atOnce }, worker));
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

async function isWhole(bucket: KV, version: number, sections: AllSections): Promise<boolean> {
  for (const [section, tenants] of Object.entries(sections)) {
    const commit = await bucket.get(`${section}.${commitKey}`);
    if (commit?.operation !== "PUT" || decodeJson<Commit>(commit.value).version !== version) return false;
    for (const [tenant, value] of tenants) {
      for (const [name] of piecesOf(tenant, value)) {
        const piece = await bucket.get(`${section}.${name}`);
        if (piece?.operation !== "PUT" || versionOf(piece.value) !== version) return false;
      }
    }
  }
  return true;
}

/** The version that the services hold, whoever published it; undefined where there is none. */
export async function publishedEdition(bus: Bus): Promise<{ version: number; tenants: string[] } | undefined> {
  const bucket = await new Kvm(bus.nats).open(confBucket);
  const entry = await bucket.get(`ingress.${commitKey}`);
  if (entry?.operation !== "PUT") return undefined;
  const { version, tenants } = decodeJson<Commit>(entry.value);
  return { version, tenants: Object.keys(tenants) };
}
