import { createHash, hash } from "node:crypto";

/** RFC 9162 §2.1.1. */
export function leafHashOf(record: string | Uint8Array): Buffer {
  return createHash("sha256").update(leafMark).update(record).digest();
}

const leafMark = Buffer.of(0);
const nodeLength = 65;

function nodeHashOf(left: Uint8Array, right: Uint8Array): Buffer {
  const node = Buffer.allocUnsafe(nodeLength);
  node[0] = 1;
  node.set(left, 1);
  node.set(right, 33);
  return hash("sha256", node, "buffer");
}

interface Subtree {
  /** It has 2^height leaves. */
  readonly height: number;
  readonly root: Buffer;
}

/** Is told of each complete subtree of 2^height leaves; `index` counts those of its height from 0. */
export type OnSubtree = (height: number, index: number, root: Buffer) => void;

/** A tree that only grows. Of n leaves it holds the roots of the log₂ n complete subtrees that they fall into. */
export class Tree {
  #size = 0;
  readonly #range: Subtree[] = [];

  get size(): number {
    return this.#size;
  }

  append(leaf: Buffer, onSubtree?: OnSubtree): void {
    let last: Subtree = { height: 0, root: leaf };
    this.#size += 1;
    onSubtree?.(0, this.#size - 1, leaf);
    while (this.#range.at(-1)?.height === last.height) {
      const left = this.#range.pop() as Subtree;
      last = { height: last.height + 1, root: nodeHashOf(left.root, last.root) };
      onSubtree?.(last.height, this.#size / 2 ** last.height - 1, last.root);
    }
    this.#range.push(last);
  }

  root(): Buffer {
    let root: Buffer | undefined;
    for (const subtree of this.#range.toReversed())
      root = root === undefined ? subtree.root : nodeHashOf(subtree.root, root);
    return root ?? hash("sha256", "", "buffer");
  }

  /** Grows apart from this one. */
  copy(): Tree {
    const copy = new Tree();
    copy.#size = this.#size;
    copy.#range.push(...this.#range);
    return copy;
  }
}

/** RFC 9162 §2.1.3.2; undefined where a proof of this length fits no such leaf. */
export function rootOfProof(place: Place, leaf: Buffer, proof: readonly Buffer[]): Buffer | undefined {
  if (place.index < 0 || place.index >= place.size) return undefined;
  let { index } = place;
  let last = place.size - 1;
  let root = leaf;
  for (const sibling of proof) {
    if (last === 0 || sibling.length !== leaf.length) return undefined;
    if (index % 2 === 1 || index === last) {
      root = nodeHashOf(sibling, root);
      while (index % 2 === 0 && index !== 0) [index, last] = halvesOf(index, last);
    } else root = nodeHashOf(root, sibling);
    [index, last] = halvesOf(index, last);
  }
  return last === 0 ? root : undefined;
}

/** Which leaf of a tree of how many. */
export interface Place {
  readonly index: number;
  readonly size: number;
}

/** What makes up the hash of a complete subtree. */
export type RootOf = (height: number, index: number) => Promise<Buffer>;

/** RFC 9162 §2.1.3.1: the proof for one leaf, of the roots of complete subtrees. */
export async function proofOf({ index, size }: Place, rootOf: RootOf): Promise<Buffer[]> {
  const proof: Buffer[] = [];
  let [from, to] = [0, size];
  while (to - from > 1) {
    const middle = from + splitOf(to - from);
    const isLeft = index < middle;
    proof.push(await rangeRoot(isLeft ? [middle, to] : [from, middle], rootOf));
    [from, to] = isLeft ? [from, middle] : [middle, to];
  }
  return proof.toReversed();
}

async function rangeRoot([from, to]: readonly [number, number], rootOf: RootOf): Promise<Buffer> {
  const count = to - from;
  const height = Math.floor(Math.log2(count));
  if (count === 2 ** height) return rootOf(height, from / count);
  const middle = from + splitOf(count);
  return nodeHashOf(await rangeRoot([from, middle], rootOf), await rangeRoot([middle, to], rootOf));
}

/** The largest power of two below a count of two or more. */
function splitOf(count: number): number {
  return 2 ** Math.ceil(Math.log2(count) - 1);
}

function halvesOf(index: number, last: number): [number, number] {
  return [Math.floor(index / 2), Math.floor(last / 2)];
}
