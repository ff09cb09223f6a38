import { type AbsentItem, type Attestation, type Item, type StoredItem } from "./entry.ts";
import { Tree } from "./merkle.ts";
import { events, type ProblemKind, type Problems } from "./problem.ts";
import { settled, type Suspect } from "./suspects.ts";

export const tileWidth = 256;
/** More are counted only. */
const mostSuspects = 10_000;

/**
 * Follows one log by index and grows its tree twice as soon as there is a doubt: of what the events themselves give (`content`), and of the
 * hashes that were stored for them (`recorded`). A root that somebody attests says which of both is right.
 */
export class LogCheck {
  readonly log: string;
  readonly #problems: Problems;
  #content: Tree | undefined = new Tree();
  #recorded: Tree | undefined = this.#content;
  #next = 0;
  #pruned = 0;
  #suspects: Suspect[] = [];
  #gap: { readonly from: number; readonly to: number; found: number } | undefined;
  #hole: { readonly from: number; to: number } | undefined;
  /** Heads that fit neither tree, and up to where the last one did. */
  #badHeads: Attestation[] = [];
  #goodHead = 0;
  #goodSigned = 0;
  #isForked = false;

  constructor(log: string, problems: Problems) {
    this.log = log;
    this.#problems = problems;
  }

  /** How many leaves there are. */
  get size(): number {
    return this.#next;
  }

  /** How many of them are hashes only, from the first on. */
  get pruned(): number {
    return this.#pruned;
  }

  /** Up to where a signed checkpoint was found right. */
  get attested(): number {
    return this.#goodSigned;
  }

  /** Of what is there; undefined where something is missing. */
  root(): Buffer | undefined {
    return this.#content?.root();
  }

  /** Roots of complete subtrees of what was stored. */
  onSubtree: ((height: number, index: number, root: Buffer) => void) | undefined;

  /** False where it was there already. */
  take(item: Item): boolean {
    if (item.index < this.#next) return this.#isLate(item);
    if (item.index > this.#next) this.#skipped(item.index);
    this.#next = item.index + 1;
    if ("hash" in item) this.#takeAbsent(item);
    else this.#takeStored(item);
    return true;
  }

  /** The log's own word of its root; where a signed one is to come, that one decides. */
  head(head: Attestation, isSignedAhead: boolean): void {
    if (this.#content === undefined && this.#recorded === undefined) return;
    const fits = this.#fits(head);
    if (fits === undefined) {
      if (!this.#isForked) this.#badHeads.push(head);
      return;
    }
    this.#goodHead = head.size;
    this.#blameHeads();
    if (!isSignedAhead) this.#settle(fits);
  }

  /** @param signer says when and by whom, as part of a sentence. */
  signed(head: Attestation, signer: string): void {
    if (this.#content === undefined && this.#recorded === undefined) return;
    const fits = this.#fits(head);
    if (fits !== undefined) {
      this.#blameHeads();
      this.#settle(fits);
      this.#goodSigned = head.size;
      this.#goodHead = Math.max(this.#goodHead, head.size);
    } else if (!this.#isForked) this.#fork(head, signer);
  }

  /** All items were taken. */
  end(): void {
    this.#closeGap();
    this.#closeHole();
    this.#settle("recorded");
    const [bad] = this.#badHeads;
    if (bad !== undefined && !this.#problems.within(this.log, 0, bad.size))
      this.#add(
        "root",
        [this.#goodHead, bad.size],
        `the stored head of size ${bad.size} has another root: ${among(this.#goodHead, bad.size)} was changed, put in or taken out`,
      );
  }

  #takeStored(item: StoredItem): void {
    this.#closeHole();
    if (this.#pruned > 0 && this.#pruned === item.index && this.#pruned % tileWidth !== 0)
      this.#add(
        "missing",
        [0, this.#pruned],
        `${events(0, this.#pruned)} are gone, and not by retention: that removes whole tiles of ${tileWidth}`,
      );
    if (item.of !== this.log)
      this.#add("foreign", [item.index, item.index + 1], `${named(item)} belongs to the log ${item.of ?? "of nobody"}`);
    const stored = item.tile ?? item.told;
    if (item.leaf === undefined) {
      this.#add("malformed", [item.index, item.index + 1], `${named(item)} can't be read: ${item.fault}`);
      this.#part();
      this.#content = undefined;
    } else if ([item.tile, item.told].some((hash) => hash?.equals(item.leaf as Buffer) === false)) {
      if (this.#suspects.length < mostSuspects) this.#suspects.push({ ...item, leaf: item.leaf });
      this.#part();
    }
    this.#append(item.leaf, stored ?? item.leaf);
  }

  #takeAbsent({ index, hash }: AbsentItem): void {
    if (this.#pruned === index) {
      this.#pruned += 1;
      return this.#append(hash, hash);
    }
    if (this.#hole?.to === index) this.#hole.to += 1;
    else {
      this.#closeHole();
      this.#hole = { from: index, to: index + 1 };
    }
    this.#part();
    this.#content = undefined;
    this.#append(undefined, hash);
  }

  #append(content: Buffer | undefined, recorded: Buffer | undefined): void {
    const isOne = this.#content === this.#recorded;
    if (recorded === undefined) this.#recorded = undefined;
    else this.#recorded?.append(recorded, this.onSubtree);
    if (content === undefined) this.#content = undefined;
    else if (!isOne) this.#content?.append(content);
  }

  /** From here on both trees may differ. */
  #part(): void {
    if (this.#content === this.#recorded) this.#recorded = this.#content?.copy();
  }

  #fits({ size, root }: Attestation): "content" | "recorded" | undefined {
    for (const [name, tree] of [
      ["content", this.#content],
      ["recorded", this.#recorded],
    ] as const)
      if (tree?.size === size && tree.root().equals(root)) return name;
    return undefined;
  }

  /** It is known which of both trees is right: the other goes on as this one. */
  #settle(right: "content" | "recorded"): void {
    for (const problem of settled(this.log, this.#suspects, right)) this.#problems.add(problem);
    this.#suspects = [];
    if (right === "content") this.#recorded = this.#content;
    else if (this.#recorded !== undefined) this.#content = this.#recorded;
  }

  /** What was stored of the tree and fits what comes later was right, so these rows were not. */
  #blameHeads(): void {
    for (const { size } of this.#badHeads)
      this.#add("head", [size - 1, size], `the stored head of size ${size} was changed: its root is another`);
    this.#badHeads = [];
  }

  #fork(head: Attestation, signer: string): void {
    this.#isForked = true;
    const from = this.#badHeads.length > 0 ? Math.max(this.#goodSigned, this.#goodHead) : this.#goodSigned;
    this.#badHeads = [];
    this.#settle("recorded");
    this.#add(
      "root",
      [from, head.size],
      `the tree of ${head.size} leaves has another root than ${signer}: ${among(from, head.size)} was changed, put in or taken out, and the tree made anew (a fork)`,
    );
  }

  #skipped(index: number): void {
    this.#closeGap();
    this.#closeHole();
    this.#gap = { from: this.#next, to: index, found: 0 };
    this.#content = undefined;
    this.#recorded = undefined;
  }

  /** It belongs to where something is missing, or was there already. */
  #isLate({ index }: Item): boolean {
    if (this.#gap !== undefined && index >= this.#gap.from && index < this.#gap.to) {
      this.#gap.found += 1;
      return true;
    }
    const place = index === this.#next - 1 ? index : this.#next;
    const where = place === index ? "twice" : `again, in the place of event ${place}`;
    this.#add("duplicate", [place, place + 1], `event ${index} stands there ${where}`);
    return false;
  }

  #closeGap(): void {
    if (this.#gap === undefined) return;
    const { from, to, found } = this.#gap;
    this.#gap = undefined;
    if (found === to - from)
      this.#add("order", [from, to], `${events(from, to)}: out of order, event ${to} stands before`);
    else
      this.#add(
        "missing",
        [from, to],
        `${events(from, to)}: missing${found === 0 ? "" : `, but for ${found} that stand elsewhere`}`,
      );
  }

  #closeHole(): void {
    if (this.#hole === undefined) return;
    const { from, to } = this.#hole;
    this.#hole = undefined;
    this.#add("missing", [from, to], `${events(from, to)}: missing, the tree has their hashes still`);
  }

  /** Of the events from the first to the one before the second. */
  #add(kind: ProblemKind, [from, to]: readonly [number, number], text: string): void {
    this.#problems.add({ kind, log: this.log, index: from, ...(to - from > 1 && { last: to - 1 }), text });
  }
}

function named({ index, id }: StoredItem): string {
  return `event ${index} (${id})`;
}

function among(from: number, to: number): string {
  return to - from > 1 ? `one of the events ${from}–${to - 1}` : `event ${from}`;
}
