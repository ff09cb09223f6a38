import { randomBytes } from "node:crypto";
import fc from "fast-check";
import { expect, test } from "vitest";
import { naiveRoot } from "./made-trail.ts";
import { leafHashOf, proofOf, rootOfProof, Tree } from "./merkle.ts";

/** Published with certificate-transparency and transparency-dev/merkle (proof/verify_test.go). */
const vectors = {
  leaves: ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"],
  roots: [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
  ],
  proofs: [
    [0, 1, []],
    [
      ...[0, 8],
      [
        "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
      ],
    ],
    [
      ...[5, 8],
      [
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
      ],
    ],
    [2, 3, ["fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"]],
    [
      ...[1, 5],
      [
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
      ],
    ],
  ] as [number, number, string[]][],
};

const leaves = vectors.leaves.map((hex) => leafHashOf(Buffer.from(hex, "hex")));

/** Of complete subtrees of these leaves. */
function rootsOf(all: readonly Buffer[]) {
  return async (height: number, index: number) => naiveRoot(all.slice(index * 2 ** height, (index + 1) * 2 ** height));
}

function treeOf(all: readonly Buffer[]): Tree {
  const tree = new Tree();
  for (const leaf of all) tree.append(leaf);
  return tree;
}

test("roots of the published leaves are the published ones, and of none it is the hash of nothing", () => {
  expect(
    vectors.roots.map((_, at) =>
      treeOf(leaves.slice(0, at + 1))
        .root()
        .toString("hex"),
    ),
  ).toEqual(vectors.roots);
  expect(new Tree().root().toString("hex")).toBe("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
});

test.each(vectors.proofs)(
  "the proof of leaf %d of %d is the published one and gives the root",
  async (index, size, hex) => {
    const proof = await proofOf({ index, size }, rootsOf(leaves.slice(0, size)));
    expect(proof.map((hash) => hash.toString("hex"))).toEqual(hex);
    expect(rootOfProof({ index, size }, leaves[index] as Buffer, proof)?.toString("hex")).toBe(vectors.roots[size - 1]);
  },
);

test.each(vectors.proofs.slice(1))(
  "no other place, length or bit of the proof of leaf %d of %d gives the root",
  (index, size, hex) => {
    const [root, leaf] = [vectors.roots[size - 1], leaves[index] as Buffer];
    const proof = hex.map((hash) => Buffer.from(hash, "hex"));
    const given = (place: { index: number; size: number }, other: readonly Buffer[], of = leaf) =>
      rootOfProof(place, of, other)?.toString("hex");
    const flipped = proof.map((_, at) =>
      proof.map((hash, other) =>
        at === other ? Buffer.from(hash.map((byte, i) => (i === 0 ? byte ^ 8 : byte))) : hash,
      ),
    );
    for (const wrong of [
      ...[index - 1, index + 1, index ^ 2].map((other) => given({ index: other, size }, proof)),
      ...[size * 2, Math.floor(size / 2)].map((other) => given({ index, size: other }, proof)),
      ...[...flipped, [...proof, leaf], [leaf, ...proof], proof.slice(1), proof.slice(0, -1), []].map((other) =>
        given({ index, size }, other),
      ),
      given({ index, size }, proof, randomBytes(32)),
      given({ index, size }, [...proof, Buffer.alloc(0)]),
    ])
      expect(wrong).not.toBe(root);
  },
);

test("a tree of any size has the root of the definition, told all its subtrees, and proves each of its leaves", async () => {
  await fc.assert(
    fc.asyncProperty(fc.integer({ min: 1, max: 1_200 }), fc.nat(), async (size, seed) => {
      const all = Array.from({ length: size }, (_, at) => leafHashOf(`${seed}/${at}`));
      const tree = new Tree();
      const subtrees = new Map<string, Buffer>();
      for (const leaf of all) tree.append(leaf, (height, index, root) => subtrees.set(`${height}/${index}`, root));
      const root = naiveRoot(all);
      expect(tree.root()).toEqual(root);
      for (const [key, subtree] of [...subtrees].slice(-40)) {
        const [height, index] = key.split("/").map(Number) as [number, number];
        expect(subtree).toEqual(await rootsOf(all)(height, index));
      }
      const index = seed % size;
      const proof = await proofOf({ index, size }, async (height, at) => subtrees.get(`${height}/${at}`) as Buffer);
      expect(rootOfProof({ index, size }, all[index] as Buffer, proof)).toEqual(root);
    }),
    { numRuns: 60 },
  );
});

test("a copy grows apart", () => {
  const tree = treeOf(leaves.slice(0, 5));
  const copy = tree.copy();
  copy.append(leaves[5] as Buffer);
  expect(tree.root().toString("hex")).toBe(vectors.roots[4]);
  expect(copy.root().toString("hex")).toBe(vectors.roots[5]);
});
