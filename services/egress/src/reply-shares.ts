/** Frames of one tenant that JetStream holds, up to a position in REPLIES. */
export interface Stored {
  readonly tenant: string;
  readonly sequence: number;
  readonly bytes: number;
}

export interface ReplySharesOptions {
  /** What this replica may fill of REPLIES, at this moment. */
  readonly mostBytes: () => number;
  /** How long REPLIES keeps a frame, in milliseconds. */
  readonly maxAgeMs: number;
  readonly now: () => number;
  /** Takes away what REPLIES holds of a tenant in front of this position. */
  readonly purge: (tenant: string, beforeSequence: number) => void;
}

/** Frames that were stored one after the other. */
interface Bucket {
  sequence: number;
  bytes: number;
  lastAt: number;
}

interface Share {
  bytes: number;
  buckets: Bucket[];
}

const bucketsInAll = 64;
/** What stays when there is no more room, so that there is some for a while. */
const keptPart = 0.9;

/**
 * What this replica has put into REPLIES for each tenant. Before REPLIES itself is full and drops the oldest frames
 * whosever they are, those go that are the oldest of the tenant that fills most: whoever fills no more than an equal
 * share loses nothing to others.
 */
export class ReplyShares {
  readonly #options: ReplySharesOptions;
  readonly #shares = new Map<string, Share>();
  #bytes = 0;

  constructor(options: ReplySharesOptions) {
    this.#options = options;
  }

  stored({ tenant, sequence, bytes }: Stored): void {
    const { mostBytes, now } = this.#options;
    const share = this.#shares.get(tenant) ?? { bytes: 0, buckets: [] };
    this.#shares.set(tenant, share);
    const most = mostBytes();
    const newest = share.buckets.at(-1);
    share.bytes += bytes;
    this.#bytes += bytes;
    if (newest !== undefined && newest.bytes < most / bucketsInAll) {
      newest.bytes += bytes;
      newest.sequence = Math.max(newest.sequence, sequence);
      newest.lastAt = now();
    } else share.buckets.push({ sequence, bytes, lastAt: now() });
    if (this.#bytes > most) this.#makeRoom(most * keptPart);
  }

  #makeRoom(bytes: number): void {
    this.#forgetAged();
    const purged = new Map<string, number>();
    while (this.#bytes > bytes) {
      const [tenant, share] = this.#largest() ?? [];
      const oldest = share?.buckets.shift();
      if (tenant === undefined || share === undefined || oldest === undefined) break;
      this.#drop(tenant, share, oldest);
      purged.set(tenant, Math.max(purged.get(tenant) ?? 0, oldest.sequence));
    }
    for (const [tenant, last] of purged) this.#options.purge(tenant, last + 1);
  }

  #largest(): [string, Share] | undefined {
    let largest: [string, Share] | undefined;
    for (const entry of this.#shares) if (entry[1].bytes > (largest?.[1].bytes ?? 0)) largest = entry;
    return largest;
  }

  /** REPLIES itself has dropped them. */
  #forgetAged(): void {
    const { maxAgeMs, now } = this.#options;
    const since = now() - maxAgeMs;
    for (const [tenant, share] of this.#shares) {
      while (share.buckets[0] !== undefined && share.buckets[0].lastAt < since)
        this.#drop(tenant, share, share.buckets.shift() as Bucket);
    }
  }

  #drop(tenant: string, share: Share, { bytes }: Bucket): void {
    share.bytes -= bytes;
    this.#bytes -= bytes;
    if (share.buckets.length === 0) this.#shares.delete(tenant);
  }
}
