/** One event with the hashes that are known of its leaf. */
export interface StoredItem {
  readonly index: number;
  readonly id: string;
  /** Computed from the event itself; absent where it can't be computed, `fault` then says why. */
  readonly leaf?: Buffer;
  readonly fault?: string;
  /** The hash that is told beside the event, and the one in the log's tile. */
  readonly told?: Buffer;
  readonly tile?: Buffer;
  /** What the event itself says of where it belongs. */
  readonly of: string | undefined;
  readonly facts: Facts;
  /** What has a commitment and nothing that opens it; absent where that can't be told of the event alone. */
  readonly closed?: readonly Closed[];
}

export interface Closed {
  readonly column: string;
  /** In hex. */
  readonly commitment: string;
}

/** What is looked at beside its hash. */
export interface Facts {
  readonly kind: string | undefined;
  readonly emitter: string | undefined;
  readonly seq: number | undefined;
  /** Of an emitter's own words. */
  readonly word: string | undefined;
  readonly service: string | undefined;
  readonly at: string | undefined;
  /** Of an action. */
  readonly action: string | undefined;
  readonly result: string | undefined;
  readonly tenant: string | undefined;
  readonly subject: string | undefined;
}

/** Stands for an event that is not there and whose leaf's hash is known. */
export interface AbsentItem {
  readonly index: number;
  readonly hash: Buffer;
}

export type Item = StoredItem | AbsentItem;

/** The root of a log's tree at a size, by who attests it. */
export interface Attestation {
  readonly size: number;
  readonly root: Buffer;
  /** Unix milliseconds, where it is told. */
  readonly at?: number;
}

/** All of one log, in the order of its indices. */
export interface LogSource {
  readonly log: string;
  items(): AsyncIterable<readonly Item[]>;
  /** Roots that the store has beside the events, by size; undefined where it has no such thing. */
  heads?(): AsyncIterable<readonly Attestation[]>;
  /** 256 hashes of the tile. */
  tile?(level: number, index: number): Promise<Buffer | undefined>;
}

export function factsOf(event: Readonly<Record<string, unknown>>): Facts {
  const text = (name: string) => (typeof event[name] === "string" ? event[name] : undefined);
  const { seq } = event;
  return {
    kind: text("kind"),
    emitter: text("emitter"),
    seq: typeof seq === "number" && Number.isSafeInteger(seq) && seq > 0 ? seq : undefined,
    word: text("word"),
    service: text("service"),
    at: text("at"),
    action: text("action"),
    result: text("result"),
    tenant: text("tenant"),
    subject: text("subject"),
  };
}
