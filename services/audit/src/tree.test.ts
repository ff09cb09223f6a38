import { createHash } from "node:crypto";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { Edge, hashesOf, leafHash, nodeHash, subtreeRoot, type Tile } from "./tree.ts";

const sha256 = (...parts: readonly Uint8Array[]) =>
  parts.reduce((digest, part) => digest.update(part), createHash("sha256")).digest();

/** MTH as RFC 9162 §2.1.1 writes it down. */
function rootOf(hashes: readonly Buffer[]): Buffer {
  if (hashes.length === 0) return sha256();
  const [only] = hashes;
  if (hashes.length === 1) return only as Buffer;
  let split = 1;
  while (split * 2 < hashes.length) split *= 2;
  return sha256(Buffer.of(1), rootOf(hashes.slice(0, split)), rootOf(hashes.slice(split)));
}

const leavesOf = (count: number) => Array.from({ length: count }, (_, index) => leafHash(`${index}`));

function grown(leaves: readonly Buffer[]): { edge: Edge; tiles: Tile[] } {
  const edge = new Edge();
  return { edge, tiles: leaves.flatMap((leaf) => edge.append(leaf)) };
}

describe("vectors of certificate-transparency (merkletree's and RFC 6962's reference implementation)", () => {
  const inputs = ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"];
  const roots = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
  ];

  test("the tree of no leaf has the hash of nothing", () => {
    expect(new Edge().root.toString("hex")).toBe("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  });

  test.each(roots.map((root, index) => [index + 1, root] as const))("the root of %i leaves", (count, root) => {
    const leaves = inputs.slice(0, count).map((hex) => sha256(Buffer.of(0), Buffer.from(hex, "hex")));
    expect(grown(leaves).edge.root.toString("hex")).toBe(root);
  });
});

describe("against the definition", () => {
  test("a leaf is hashed with 0x00 before its UTF-8 bytes, a node with 0x01", () => {
    fc.assert(
      fc.property(fc.string({ unit: "grapheme" }), (text) => {
        const leaf = leafHash(text);
        expect(leaf).toEqual(sha256(Buffer.of(0), Buffer.from(text)));
        expect(nodeHash(leaf, leaf)).toEqual(sha256(Buffer.of(1), leaf, leaf));
      }),
    );
  });

  test("every size up to a thousand has its root", () => {
    const leaves = leavesOf(1_000);
    const edge = new Edge();
    for (const [index, leaf] of leaves.entries()) {
      edge.append(leaf);
      if (index % 37 === 0 || index > 990) expect(edge.root).toEqual(rootOf(leaves.slice(0, index + 1)));
    }
  });

  test("an edge made of what is stored goes on like the one that never stopped, whatever its size", () => {
    const leaves = leavesOf(140_000);
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 20_000 }), fc.integer({ min: 0, max: 1_000 }), (size, more) => {
        const { edge, tiles } = grown(leaves.slice(0, size));
        const revived = Edge.of(size, unfinishedOf(leaves.slice(0, size), tiles));
        expect(revived.root).toEqual(edge.root);
        const copied = edge.copy();
        for (const leaf of leaves.slice(size, size + more)) {
          expect(revived.append(leaf)).toEqual(edge.append(leaf));
        }
        expect(revived.root).toEqual(edge.root);
        expect(edge.size).toBe(size + more);
        expect(copied.size).toBe(size);
      }),
      {
        numRuns: 12,
        examples: [
          [65_536, 1],
          [65_535, 257],
          [131_071, 2],
          [70_001, 300],
          [256, 0],
        ],
      },
    );
  }, 60_000);

  test("tiles are the whole rows of 256 hashes of each level, in order", () => {
    const leaves = leavesOf(65_536 + 300);
    const { tiles, edge } = grown(leaves);
    expect(tiles.map(({ level, index }) => `${level}/${index}`)).toEqual([
      ...Array.from({ length: 256 }, (_, index) => `0/${index}`),
      "1/0",
      "0/256",
    ]);
    for (const { index, hashes } of tiles.filter((tile) => tile.level === 0))
      expect(hashesOf(hashes)).toEqual(leaves.slice(index * 256, (index + 1) * 256));
    expect(edge.root).toEqual(rootOf(leaves));
  });
});

/** By level the hashes behind the last whole tile, from leaves and tiles alone. */
function unfinishedOf(leaves: readonly Buffer[], tiles: readonly Tile[]): Buffer[][] {
  const levels: Buffer[][] = [leaves.slice(leaves.length - (leaves.length % 256))];
  for (let level = 1, nodes = Math.floor(leaves.length / 256); nodes > 0; level++, nodes = Math.floor(nodes / 256)) {
    const below = tiles.filter((tile) => tile.level === level - 1).map(({ hashes }) => subtreeRoot(hashesOf(hashes)));
    levels.push(below.slice(nodes - (nodes % 256)));
  }
  return levels;
}
