import { jetstreamManager } from "@nats-io/jetstream";
import { Kvm, type Bucket, type KvWatchEntry } from "@nats-io/kv";
import {
  credentialBucket,
  credentialMarker,
  credentialSchema,
  decodeJson,
  encodeJson,
  Fault,
  type Credential,
} from "@sluice/contracts";
import type { Bus } from "./bus.ts";
import { followBucket, type Reading } from "./kv-follow.ts";

/** One credential as the bucket holds it. */
export interface HeldCredential {
  readonly credential: Credential;
  /** For a change that must not overwrite another. */
  readonly revision: number;
}

export interface CredentialListener {
  /** All there are, at the beginning and after each reconnect. */
  all(held: ReadonlyMap<string, HeldCredential>): void;
  changed(held: HeldCredential): void;
  removed(id: string): void;
  /** An entry that is none; it counts for nothing. */
  unreadable(key: string): void;
}

/** Follows all credentials; resolves after the first complete reading, so that no good one is taken for unknown. */
export function watchCredentials(bus: Bus, listener: CredentialListener): Promise<AsyncDisposable> {
  return followBucket(bus, { bucket: credentialBucket, key: ">", begin: () => new CredentialReading(listener) });
}

class CredentialReading implements Reading {
  readonly #listener: CredentialListener;
  /** Undefined once everything that was there has been read. */
  #gathered: Map<string, HeldCredential> | undefined = new Map();

  constructor(listener: CredentialListener) {
    this.#listener = listener;
  }

  take(entry: KvWatchEntry): boolean {
    if (entry.key !== credentialMarker) this.#takeCredential(entry);
    if (this.#gathered === undefined) return true;
    if (entry.delta !== 0) return false;
    this.#listener.all(this.#gathered);
    this.#gathered = undefined;
    return true;
  }

  #takeCredential(entry: KvWatchEntry): void {
    const held = entry.operation === "PUT" ? read(entry) : undefined;
    if (entry.operation === "PUT" && held === undefined) this.#listener.unreadable(entry.key);
    if (this.#gathered === undefined) {
      if (held === undefined) this.#listener.removed(entry.key);
      else this.#listener.changed(held);
    } else if (held === undefined) this.#gathered.delete(entry.key);
    else this.#gathered.set(entry.key, held);
  }
}

function read({
  key,
  value,
  revision,
}: {
  key: string;
  value: Uint8Array;
  revision: number;
}): HeldCredential | undefined {
  try {
    const credential = credentialSchema.parse(decodeJson(value));
    return credential.id === key ? { credential, revision } : undefined;
  } catch {
    return undefined;
  }
}

const wrongLastSequence = 10071;

/** Writes credentials. Only control may. */
export class CredentialBucket {
  readonly #bus: Bus;
  #opened: Promise<Bucket> | undefined;

  constructor(bus: Bus) {
    this.#bus = bus;
  }

  /**
   * Stores a credential, on disk when this resolves. @returns its revision
   * @param over the revision that it replaces; 0: there is none
   * @throws Fault `conflict` where somebody else was faster
   */
  async put(credential: Credential, over: number): Promise<number> {
    return this.#write((bucket) => bucket.put(credential.id, encodeJson(credential), { previousSeq: over }));
  }

  async remove(id: string): Promise<void> {
    await this.#write((bucket) => bucket.purge(id));
  }

  /** Drops an entry without telling anybody, as is right for one that expired: everybody knows that by themselves. */
  async drop(id: string): Promise<void> {
    await this.#write(async () => {
      const manager = await jetstreamManager(this.#bus.nats);
      await manager.streams.purge(`KV_${credentialBucket}`, { filter: `$KV.${credentialBucket}.${id}` });
    });
  }

  /** Forgets what was removed longer ago than that. */
  async forgetRemoved(olderThanMs: number): Promise<void> {
    await this.#write((bucket) => bucket.purgeDeletes(olderThanMs));
  }

  async #write<Result>(work: (bucket: Bucket) => Promise<Result>): Promise<Result> {
    if (!this.#bus.connected) throw new Fault("unavailable", "the message bus is not reachable");
    try {
      this.#opened ??= new Kvm(this.#bus.nats).open(credentialBucket) as Promise<Bucket>;
      return await work(await this.#opened);
    } catch (error) {
      if ((error as { code?: number }).code === wrongLastSequence)
        throw new Fault("conflict", "somebody else has changed it at the same time: try again");
      this.#opened = undefined;
      throw new Fault("unavailable", "the credential store is not reachable", { cause: error });
    }
  }
}
