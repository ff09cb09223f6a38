import { hash } from "node:crypto";

export const hashBytes = 32;

/** RFC 9162 §2.1.1: the hash of a node over those of its two halves. */
function nodeHash(left: Buffer, right: Buffer): Buffer {
  return hash("sha256", Buffer.concat([Buffer.of(1), left, right]), "buffer");
}

interface Peak {
  /** It stands for 2^height leaves. */
  readonly height: number;
  readonly hash: Buffer;
}

/**
 * The first leaves of a tree (RFC 9162 §2.1) as the roots of its complete subtrees, from left to right. That is all that is
 * needed to go on: what is appended yields the root of a tree that these leaves are the beginning of.
 */
export class CompactRange {
  readonly #peaks: Peak[] = [];
  #size = 0;

  /** How many leaves. */
  get size(): number {
    return this.#size;
  }

  clone(): CompactRange {
    const copy = new CompactRange();
    copy.#peaks.push(...this.#peaks);
    copy.#size = this.#size;
    return copy;
  }

  /**
   * Appends a complete subtree of 2^height leaves.
   * @throws RangeError where that many leaves can't stand together at this place
   */
  append(subtree: Buffer, height = 0): void {
    if (this.#size % 2 ** height !== 0) throw new RangeError("a subtree does not begin here");
    this.#size += 2 ** height;
    let peak: Peak = { height, hash: subtree };
    for (let last = this.#peaks.at(-1); last?.height === peak.height; last = this.#peaks.at(-1)) {
      this.#peaks.pop();
      peak = { height: peak.height + 1, hash: nodeHash(last.hash, peak.hash) };
    }
    this.#peaks.push(peak);
  }

  root(): Buffer {
    const [first, ...rest] = this.#peaks.toReversed();
    if (first === undefined) return hash("sha256", "", "buffer");
    return rest.reduce((right, { hash: left }) => nodeHash(left, right), first.hash);
  }
}
