import { hash } from "node:crypto";

/** Bytes of SHA-256. */
const hashBytes = 32;
/** Hashes of one level that are a tile, and the levels of the tree that a tile spans. */
export const tileWidth = 256;
const tileHeight = 8;

/** 256 hashes of one level of the tree, in their order. Level 0 is the leaves, level n the subtrees of 256^n of them. */
export interface Tile {
  readonly level: number;
  readonly index: number;
  readonly hashes: Buffer;
}

/** SHA-256(0x00 ‖ record) (RFC 9162 §2.1.1). */
export function leafHash(record: string): Buffer {
  return hash("sha256", Buffer.from(`\0${record}`), "buffer");
}

/** SHA-256(0x01 ‖ left ‖ right) (RFC 9162 §2.1.1). */
export function nodeHash(left: Buffer, right: Buffer): Buffer {
  return hash("sha256", Buffer.concat([nodePrefix, left, right]), "buffer");
}

const nodePrefix = Buffer.of(1);

/** The root of the tree without leaves: SHA-256 of nothing. */
const emptyRoot = hash("sha256", "", "buffer");

/**
 * The right edge of a Merkle tree (RFC 9162 §2.1): all that is needed to append to it and to know its root. These are, by level of
 * tiles, the hashes behind the last whole tile, and the roots of the whole subtrees that the leaves fall into.
 */
export class Edge {
  #size = 0;
  /** The largest subtree first. */
  #peaks: Buffer[] = [];
  readonly #unfinished: Buffer[][] = [];

  /** @param unfinished by level, from the leaves up: the hashes behind the last whole tile */
  static of(size: number, unfinished: readonly (readonly Buffer[])[]): Edge {
    const edge = new Edge();
    edge.#size = size;
    edge.#unfinished.push(...unfinished.map((hashes) => [...hashes]));
    edge.#peaks = unfinished.toReversed().flatMap((hashes) => peaksOf(hashes));
    return edge;
  }

  /** How many leaves the tree has. */
  get size(): number {
    return this.#size;
  }

  get root(): Buffer {
    return this.#peaks.length === 0 ? emptyRoot : this.#peaks.reduceRight((right, left) => nodeHash(left, right));
  }

  copy(): Edge {
    const edge = new Edge();
    edge.#size = this.#size;
    edge.#peaks = [...this.#peaks];
    edge.#unfinished.push(...this.#unfinished.map((hashes) => [...hashes]));
    return edge;
  }

  /** Appends a leaf's hash. @returns the tiles that it makes whole */
  append(leaf: Buffer): Tile[] {
    const tiles: Tile[] = [];
    let node = leaf;
    this.#collect(0, leaf, tiles);
    let rest = this.#size;
    for (let height = 1; rest % 2 === 1; height++, rest = (rest - 1) / 2) {
      node = nodeHash(this.#peaks.pop() as Buffer, node);
      if (height % tileHeight === 0) this.#collect(height / tileHeight, node, tiles);
    }
    this.#peaks.push(node);
    this.#size++;
    return tiles;
  }

  #collect(level: number, node: Buffer, tiles: Tile[]): void {
    const hashes = (this.#unfinished[level] ??= []);
    hashes.push(node);
    if (hashes.length < tileWidth) return;
    const index = Math.floor(this.#size / tileWidth ** (level + 1));
    tiles.push({ level, index, hashes: Buffer.concat(hashes) });
    this.#unfinished[level] = [];
  }
}

/** The root of the subtree over these hashes, whose number is a power of two. */
export function subtreeRoot(hashes: readonly Buffer[]): Buffer {
  let row = hashes;
  while (row.length > 1) row = pairs(row);
  return row[0] as Buffer;
}

/** The hashes of a tile. */
export function hashesOf(tile: Buffer): Buffer[] {
  return Array.from({ length: tile.length / hashBytes }, (_, at) =>
    tile.subarray(at * hashBytes, (at + 1) * hashBytes),
  );
}

function pairs(row: readonly Buffer[]): Buffer[] {
  return Array.from({ length: row.length / 2 }, (_, at) => nodeHash(row[2 * at] as Buffer, row[2 * at + 1] as Buffer));
}

/** The roots of the largest subtrees that hashes of one level fall into. */
function peaksOf(hashes: readonly Buffer[]): Buffer[] {
  const peaks: Buffer[] = [];
  for (let from = 0, width = tileWidth / 2; width >= 1; width /= 2) {
    if (from + width > hashes.length) continue;
    peaks.push(subtreeRoot(hashes.slice(from, from + width)));
    from += width;
  }
  return peaks;
}
