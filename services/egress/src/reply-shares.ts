/** Frames of one tenant that JetStream holds, up to a position in REPLIES. */
export interface Stored {
  readonly tenant: string;
  readonly sequence: number;
  readonly bytes: number;
}

export interface ReplySharesOptions {
  readonly bytesPerTenant: number;
  /** Takes away what REPLIES holds of a tenant in front of this position. */
  readonly purge: (tenant: string, beforeSequence: number) => void;
}

interface Bucket {
  sequence: number;
  bytes: number;
}

interface Share {
  bytes: number;
  readonly buckets: Bucket[];
}

const bucketsPerShare = 16;
/** What stays when a share is full, so that it is not full again at once. */
const keptPart = 0.75;

/**
 * How much of REPLIES each tenant fills through this replica. Above its share a tenant's own oldest frames go, so that no
 * tenant pushes out another's while the shares of all together fit.
 */
export class ReplyShares {
  readonly #options: ReplySharesOptions;
  readonly #shares = new Map<string, Share>();

  constructor(options: ReplySharesOptions) {
    this.#options = options;
  }

  stored({ tenant, sequence, bytes }: Stored): void {
    const { bytesPerTenant, purge } = this.#options;
    const share = this.#shares.get(tenant) ?? { bytes: 0, buckets: [] };
    this.#shares.set(tenant, share);
    const newest = share.buckets.at(-1);
    share.bytes += bytes;
    if (newest !== undefined && newest.bytes < bytesPerTenant / bucketsPerShare) {
      newest.bytes += bytes;
      newest.sequence = Math.max(newest.sequence, sequence);
    } else share.buckets.push({ sequence, bytes });
    if (share.bytes <= bytesPerTenant) return;
    let last = 0;
    while (share.bytes > bytesPerTenant * keptPart && share.buckets.length > 1) {
      const oldest = share.buckets.shift() as Bucket;
      share.bytes -= oldest.bytes;
      last = Math.max(last, oldest.sequence);
    }
    if (last > 0) purge(tenant, last + 1);
  }
}
