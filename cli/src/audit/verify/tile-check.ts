import type { LogSource } from "./entry.ts";
import { tileWidth } from "./log-check.ts";
import type { Problems } from "./problem.ts";

const tileHeight = 8;

/** Compares the stored tiles above the leaves with the tree that grows. */
export class TileCheck {
  readonly #problems: Problems;
  readonly #unfinished: Buffer[][] = [];
  #whole: { readonly level: number; readonly index: number; readonly hashes: readonly Buffer[] }[] = [];

  constructor(problems: Problems) {
    this.#problems = problems;
  }

  /** Is told of each complete subtree (`OnSubtree`). */
  readonly take = (height: number, index: number, root: Buffer): void => {
    if (height % tileHeight !== 0 || height === 0) return;
    const level = height / tileHeight;
    const hashes = (this.#unfinished[level] ??= []);
    hashes[index % tileWidth] = root;
    if ((index + 1) % tileWidth !== 0) return;
    this.#whole.push({ level, index: Math.floor(index / tileWidth), hashes });
    this.#unfinished[level] = [];
  };

  /** Of those that were made whole since. */
  async compare(source: LogSource): Promise<void> {
    const { log } = source;
    const whole = this.#whole;
    this.#whole = [];
    for (const { level, index, hashes } of whole) {
      const stored = await source.tile?.(level, index);
      const at = hashes.findIndex((hash, place) => stored?.subarray(place * 32, place * 32 + 32).equals(hash) !== true);
      if (at === -1) continue;
      const leaves = tileWidth ** level;
      const from = (index * tileWidth + at) * leaves;
      if (this.#problems.within(log, from, from + leaves)) continue;
      const what = stored === undefined ? "is missing" : `has another hash of the events ${from}–${from + leaves - 1}`;
      this.#problems.add({
        kind: "tile",
        log,
        index: from,
        last: from + leaves - 1,
        text: `tile ${index} of level ${level} ${what}`,
      });
    }
  }
}
