/** A card as it is sent. */
export interface ServedCard {
  readonly body: Buffer;
  readonly etag: string;
}

interface Kept {
  readonly card: Promise<ServedCard>;
  readonly until: number;
  /** 0 as long as the card is being made. */
  bytes: number;
}

/** What rules say of a caller may hang on more than their version: the time, say. */
export const keptMs = 30_000;
const mostKept = 2_048;
const mostBytes = 64 * 1024 * 1024;

/** Cards that were made lately, each once at a time; the oldest go where all are too many or too large. */
export class KeptCards {
  readonly #now: () => number;
  /** The oldest first. */
  readonly #kept = new Map<string, Kept>();
  #bytes = 0;

  constructor(now = Date.now) {
    this.#now = now;
  }

  /** How much the cards hold that are kept. */
  get bytes(): number {
    return this.#bytes;
  }

  /** The card of this key, made where there is none that is good still. */
  async of(key: string, make: () => Promise<ServedCard>): Promise<ServedCard> {
    this.#trim();
    const known = this.#kept.get(key);
    if (known !== undefined) return await known.card;
    const kept: Kept = { card: make(), until: this.#now() + keptMs, bytes: 0 };
    this.#kept.set(key, kept);
    try {
      const card = await kept.card;
      if (this.#kept.get(key) === kept) {
        kept.bytes = card.body.length + key.length;
        this.#bytes += kept.bytes;
        this.#trim();
      }
      return card;
    } catch (error) {
      if (this.#kept.get(key) === kept) this.#kept.delete(key);
      throw error;
    }
  }

  #trim(): void {
    const now = this.#now();
    for (const [key, { until, bytes }] of this.#kept) {
      if (until > now && this.#kept.size <= mostKept && this.#bytes <= mostBytes) break;
      this.#kept.delete(key);
      this.#bytes -= bytes;
    }
  }
}
