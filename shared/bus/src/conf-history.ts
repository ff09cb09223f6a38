import { createHash } from "node:crypto";
import { promisify } from "node:util";
import { gunzip, gzip } from "node:zlib";
import { jetstreamManager } from "@nats-io/jetstream";
import { Kvm, type KV, type KvEntry } from "@nats-io/kv";
import { decodeJson, encodeJson, historyBucket } from "@sluice/contracts";
import type { Bus } from "./bus.ts";
import { isLostRace } from "./lost-race.ts";

/** How an edition came into force: somebody edited the file, or an operator went back to an earlier version. */
export type EditionOrigin =
  { readonly kind: "file" } | { readonly kind: "rollback"; readonly operator: string; readonly to: number };

/** What is known of an edition of `tenants.yaml` beside its text. */
export interface EditionAbout {
  readonly version: number;
  /** Unix milliseconds of when it came into force. */
  readonly at: number;
  readonly by: EditionOrigin;
  /** Tells whether two configurations are the same, however they are written. */
  readonly digest: string;
  /** SHA-256 of the text, in hex. */
  readonly sha256: string;
  readonly bytes: number;
  readonly tenants: number;
  /** False where the text was too large to be kept. */
  readonly isKept: boolean;
}

export interface RecordedEdition {
  readonly version: number;
  readonly digest: string;
  readonly text: string;
  readonly by: EditionOrigin;
  readonly tenants: number;
}

export interface ConfHistoryOptions {
  readonly replicas: number;
  /** Editions that are kept; the oldest go first. */
  readonly mostEditions: number;
  /** What their texts may have together, compressed. */
  readonly mostBytes: number;
}

/** As it is stored: the text is compressed and lies in pieces beside it. */
interface Stored extends EditionAbout {
  readonly pieces: number;
  readonly storedBytes: number;
}

/** NATS carries no message above 1 MiB unless told to. */
const pieceBytes = 512 * 1024;
const versionDigits = 16;
const aboutKey = "about";
const [pack, unpack] = [promisify(gzip), promisify(gunzip)];

/** The accepted editions of `tenants.yaml` with their texts. They hold references to secrets and hashes of keys, as the file does. */
export class ConfHistory {
  readonly #bus: Bus;
  readonly #options: ConfHistoryOptions;

  constructor(bus: Bus, options: ConfHistoryOptions) {
    this.#bus = bus;
    this.#options = options;
  }

  /** Makes the bucket where there is none. */
  async prepare(): Promise<void> {
    const { replicas, mostBytes } = this.#options;
    // Room for what is written before the oldest are let go of.
    const max_bytes = 2 * mostBytes;
    await new Kvm(this.#bus.nats).create(historyBucket, { history: 1, replicas, max_bytes });
    const manager = await jetstreamManager(this.#bus.nats);
    await manager.streams.update(`KV_${historyBucket}`, { num_replicas: replicas, max_bytes });
  }

  /** The newest first. */
  async list(): Promise<EditionAbout[]> {
    return (await this.#stored()).map(({ pieces: _pieces, storedBytes: _bytes, ...about }) => about);
  }

  /** An edition and its text; the text is undefined where it was too large to be kept. Undefined where there is no such edition. */
  async find(version: number): Promise<{ about: EditionAbout; text: string | undefined } | undefined> {
    const bucket = await this.#open();
    const stored = storedIn(await bucket.get(aboutKeyOf(version)));
    if (stored === undefined) return undefined;
    const { pieces, storedBytes: _bytes, ...about } = stored;
    if (!about.isKept) return { about, text: undefined };
    const entries = await Promise.all(
      Array.from({ length: pieces }, (_, number) => bucket.get(pieceKey(stored, number))),
    );
    if (entries.some((entry) => entry?.operation !== "PUT")) return undefined;
    const packed = Buffer.concat(entries.map((entry) => entry?.value ?? new Uint8Array()));
    return { about, text: (await unpack(packed)).toString("utf8") };
  }

  /**
   * Keeps an edition that came into force. One that is written otherwise and says the same takes its place under the same
   * version, with the time and origin of the first; several replicas may record the same one.
   */
  async record(edition: RecordedEdition): Promise<void> {
    for (;;) {
      try {
        return await this.#record(edition);
      } catch (error) {
        if (!isLostRace(error)) throw error;
      }
    }
  }

  async #record({ text, ...edition }: RecordedEdition): Promise<void> {
    const bucket = await this.#open();
    const entry = await bucket.get(aboutKeyOf(edition.version));
    const known = storedIn(entry);
    const isSame = known?.digest === edition.digest;
    const sha256 = createHash("sha256").update(text).digest("hex");
    const by = isSame && edition.by.kind === "file" ? known.by : edition.by;
    if (isSame && known.sha256 === sha256 && known.by.kind === by.kind) return;
    const packed = await pack(text);
    const isKept = packed.length <= this.#options.mostBytes;
    const stored: Stored = {
      ...edition,
      at: isSame ? known.at : Date.now(),
      by,
      sha256,
      bytes: Buffer.byteLength(text),
      isKept,
      pieces: isKept ? Math.ceil(packed.length / pieceBytes) : 0,
      storedBytes: isKept ? packed.length : 0,
    };
    await this.#makeRoom(stored);
    for (let number = 0; number < stored.pieces; number++)
      await bucket.put(pieceKey(stored, number), packed.subarray(number * pieceBytes, (number + 1) * pieceBytes));
    const previousSeq = entry?.revision ?? 0;
    await bucket.put(aboutKeyOf(stored.version), encodeJson(stored), { previousSeq });
    if (known !== undefined && known.sha256 !== sha256) await this.#purge(piecesKey(known));
  }

  async #makeRoom(coming: Stored): Promise<void> {
    const { mostEditions, mostBytes } = this.#options;
    let bytes = coming.storedBytes;
    let count = 1;
    for (const { version, storedBytes } of await this.#stored()) {
      if (version === coming.version) continue;
      bytes += storedBytes;
      if (++count > mostEditions || bytes > mostBytes) await this.#purge(`${keyOf(version)}.>`);
    }
  }

  async #purge(keys: string): Promise<void> {
    const manager = await jetstreamManager(this.#bus.nats);
    await manager.streams.purge(`KV_${historyBucket}`, { filter: `$KV.${historyBucket}.${keys}` });
  }

  async #stored(): Promise<Stored[]> {
    const bucket = await this.#open();
    const found: Stored[] = [];
    for await (const entry of await bucket.history({ key: `*.${aboutKey}` }))
      if (entry.operation === "PUT") found.push(decodeJson<Stored>(entry.value));
    return found.toSorted((one, other) => other.version - one.version);
  }

  #open(): Promise<KV> {
    return new Kvm(this.#bus.nats).open(historyBucket);
  }
}

function storedIn(entry: KvEntry | null): Stored | undefined {
  return entry?.operation === "PUT" ? decodeJson<Stored>(entry.value) : undefined;
}

const keyOf = (version: number) => String(version).padStart(versionDigits, "0");
const aboutKeyOf = (version: number) => `${keyOf(version)}.${aboutKey}`;

/** The text is part of the name, so that nobody reads pieces of two texts. */
const textKey = ({ version, sha256 }: Stored) => `${keyOf(version)}.${sha256}`;
const pieceKey = (stored: Stored, number: number) => `${textKey(stored)}.${number}`;
const piecesKey = (stored: Stored) => `${textKey(stored)}.*`;
