import { hash } from "node:crypto";
import { expect, test } from "vitest";
import type { Item, LogSource } from "./entry.ts";
import { leafHashOf, Tree } from "./merkle.ts";
import { Problems } from "./problem.ts";
import { TileCheck } from "./tile-check.ts";

const leaves = 65_536;

/** A log whose only tile of level 1 is this one. */
class OneTile implements LogSource {
  readonly log = "acme";
  readonly #hashes: Buffer | undefined;

  constructor(hashes: Buffer | undefined) {
    this.#hashes = hashes;
  }

  items(): AsyncIterable<readonly Item[]> {
    throw new Error("nobody asks for them");
  }

  async tile(level: number, index: number): Promise<Buffer | undefined> {
    return level === 1 && index === 0 ? this.#hashes : undefined;
  }
}

test("a tile above the leaves is held against the tree, and a change in it found where it is", async () => {
  const roots: Buffer[] = [];
  const tree = new Tree();
  const grown = (problems: Problems) => {
    const check = new TileCheck(problems);
    for (const [index, root] of roots.entries()) check.take(8, index, root);
    return check;
  };
  for (let leaf = 0; leaf < leaves; leaf += 1)
    tree.append(leafHashOf(`${leaf}`), (height, _, root) => void (height === 8 && roots.push(root)));
  const tile = Buffer.concat(roots);
  const found = async (hashes: Buffer | undefined) => {
    const problems = new Problems();
    await grown(problems).compare(new OneTile(hashes));
    return problems.list();
  };
  expect(roots).toHaveLength(256);
  expect(await found(tile)).toEqual([]);
  const changed = Buffer.from(tile);
  changed.set(hash("sha256", "x", "buffer"), 7 * 32);
  expect(await found(changed)).toMatchObject([{ kind: "tile", log: "acme", index: 7 * 256, last: 8 * 256 - 1 }]);
  expect(await found(undefined)).toMatchObject([
    { kind: "tile", index: 0, text: expect.stringContaining("missing") as string },
  ]);
});
