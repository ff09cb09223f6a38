import type { Head } from "./checkpoint.ts";
import { CompactRange } from "./compact-range.ts";
import { TreeGap, type TreeStore } from "./tree-store.ts";

/**
 * The tree is `smaller` than the one that was signed, or has another `root` at the same size; its leaves do not yield what was
 * signed any more (`rewritten`), or not what its `head` says; or leaves are `missing`.
 */
export type RefusalReason = "smaller" | "root" | "rewritten" | "head" | "missing";

/** The tree is not what comes after the one that was signed: nothing more of this log is signed. */
export class Refusal extends Error {
  override readonly name = "Refusal";
  readonly reason: RefusalReason;
  /** What the log says of itself now. */
  readonly head: Head | undefined;

  constructor(reason: RefusalReason, head: Head | undefined) {
    super(reason);
    this.reason = reason;
    this.head = head;
  }
}

/** What was signed, or has been told to be good. */
export type Base = Pick<Head, "size" | "root">;

/**
 * Proves that a log's tree begins with the one that was signed (RFC 9162 §2.1.4), by computing both roots from tiles and leaf
 * hashes: what one is computed of is what the other goes on from. What was computed is remembered, so that the next proof reads
 * the new leaves only.
 */
export class LogCheck {
  readonly #trees: TreeStore;
  /** The tree that was signed and the one after it, of which it is not known yet whether it will be. */
  readonly #known = new Map<string, readonly CompactRange[]>();

  constructor(trees: TreeStore) {
    this.#trees = trees;
  }

  /** @throws Refusal; anything else where it can't be told now */
  async prove(log: string, head: Head | undefined, signed: Base | undefined): Promise<void> {
    if (signed !== undefined && (head === undefined || head.size < signed.size)) throw new Refusal("smaller", head);
    if (head === undefined) return;
    if (signed?.size === head.size && !signed.root.equals(head.root)) throw new Refusal("root", head);
    const known = this.#known.get(log)?.findLast(({ size }) => size <= (signed?.size ?? 0));
    const range = known?.clone() ?? new CompactRange();
    let base = range.clone();
    try {
      if (signed !== undefined) {
        await this.#trees.extend(range, { log, to: signed.size, treeSize: head.size });
        if (!range.root().equals(signed.root)) throw new Refusal("rewritten", head);
        base = range.clone();
      }
      await this.#trees.extend(range, { log, to: head.size, treeSize: head.size });
    } catch (error) {
      throw error instanceof TreeGap ? new Refusal("missing", head) : error;
    }
    if (!range.root().equals(head.root)) throw new Refusal("head", head);
    this.#known.set(log, [base, range]);
  }

  /** What is known of a log counts no more: it is read from its beginning. */
  forget(log: string): void {
    this.#known.delete(log);
  }
}
