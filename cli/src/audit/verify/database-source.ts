import { factsOf, type Attestation, type Item, type LogSource, type StoredItem } from "./entry.ts";
import { Malformed, recordHash } from "./leaf.ts";
import { tileWidth } from "./log-check.ts";
import type { Problems } from "./problem.ts";
import type { Row, TrailSnapshot } from "./trail-database.ts";

const hashBytes = 32;
const tilesAtOnce = 32;

/** A log as the tables have it. */
export class DatabaseSource implements LogSource {
  readonly log: string;
  readonly #snapshot: TrailSnapshot;
  readonly #problems: Problems;

  constructor(log: string, snapshot: TrailSnapshot, problems: Problems) {
    this.log = log;
    this.#snapshot = snapshot;
    this.#problems = problems;
  }

  async *items(): AsyncGenerator<Item[]> {
    const tiles = new Tiles(this.#snapshot, this.log);
    const text = "select * from audit_events where log = $1 order by leaf_index";
    let next = 0;
    for await (const rows of this.#snapshot.batches({ text, values: [this.log] })) {
      let items: Item[] = [];
      for (const row of rows) {
        const index = row["leaf_index"] as number | undefined;
        if (index === undefined || index < 0) {
          this.#misplaced(row, index);
          continue;
        }
        if (index > next) {
          yield items;
          items = [];
          yield* this.#absent(tiles, next, index);
        }
        items.push(itemOf(row, index, await tiles.hash(index)));
        next = Math.max(next, index + 1);
      }
      yield items;
    }
    yield* this.#absent(tiles, next, Number.POSITIVE_INFINITY);
    await this.#requireNoMoreTiles();
  }

  async *heads(): AsyncGenerator<Attestation[]> {
    const text = `select size, root, (extract(epoch from at) * 1000)::bigint as ms from audit_heads where log = $1 and size > 0 order by size`;
    for await (const rows of this.#snapshot.batches({ text, values: [this.log] }))
      yield rows.map(({ size, root, ms }) => ({ size: size as number, root: bytes(root), at: ms as number }));
  }

  async tile(level: number, index: number): Promise<Buffer | undefined> {
    const text = "select hashes from audit_tiles where log = $1 and level = $2 and tile_index = $3";
    const [row] = await this.#snapshot.all(text, [this.log, level, index]);
    return row === undefined ? undefined : bytes(row["hashes"]);
  }

  /** Those that have no row, as far as there are tiles. */
  async *#absent(tiles: Tiles, from: number, to: number): AsyncGenerator<Item[]> {
    for (let index = from; index < to;) {
      const first = await tiles.from(index);
      if (first === undefined) return;
      const items: Item[] = [];
      const end = Math.min(to, first - (first % tileWidth) + tileWidth);
      for (index = first; index < end; index += 1) items.push({ index, hash: (await tiles.hash(index)) as Buffer });
      yield items;
    }
  }

  #misplaced(row: Row, index: number | undefined): void {
    this.#problems.add({
      kind: "outside",
      log: this.log,
      text: `the row ${String(row["event_id"])} is not in the tree: its place is ${index ?? "none"}`,
    });
  }

  async #requireNoMoreTiles(): Promise<void> {
    const text = `select level, tile_index from audit_tiles where log = $1
      and (tile_index + 1) * (256::numeric ^ (level + 1)) > (select coalesce(max(size), 0) from audit_heads where log = $1) order by 1, 2 limit 1`;
    const [tile] = await this.#snapshot.all(text, [this.log]);
    if (tile === undefined) return;
    const index = (tile["tile_index"] as number) * tileWidth ** ((tile["level"] as number) + 1);
    const name = `tile ${String(tile["tile_index"])} of level ${String(tile["level"])}`;
    this.#problems.add({
      kind: "tile",
      log: this.log,
      index,
      text: `${name} is there and its leaves are not in the tree`,
    });
  }
}

function itemOf(row: Row, index: number, tile: Buffer | undefined): StoredItem {
  const { leaf_index: _, leaf_hash: told, ...record } = row;
  return {
    index,
    id: String(row["event_id"]),
    ...leafOf(record),
    ...(told !== undefined && { told: bytes(told) }),
    ...(tile !== undefined && { tile }),
    of: record["log"] as string,
    facts: factsOf(record),
  };
}

function leafOf(record: Row): Pick<StoredItem, "leaf" | "fault"> {
  try {
    return { leaf: recordHash(record) };
  } catch (error) {
    if (error instanceof Malformed) return { fault: error.message };
    throw error;
  }
}

function bytes(hex: unknown): Buffer {
  return Buffer.from(hex as string, "hex");
}

/** Tiles of the leaves, which are asked for in their order. */
class Tiles {
  readonly #batches: AsyncGenerator<Row[]>;
  #held: Row[] = [];
  #isEnd = false;
  #current: { readonly index: number; readonly hashes: Buffer } | undefined;

  constructor(snapshot: TrailSnapshot, log: string) {
    this.#batches = snapshot.batches({
      text: "select tile_index, hashes from audit_tiles where log = $1 and level = 0 and tile_index >= 0 order by tile_index",
      values: [log],
      atOnce: tilesAtOnce,
    });
  }

  /** What the tree has at this leaf; undefined where there is no tile. */
  async hash(leaf: number): Promise<Buffer | undefined> {
    const wanted = Math.floor(leaf / tileWidth);
    await this.#go(wanted);
    if (this.#current?.index !== wanted) return undefined;
    const at = (leaf % tileWidth) * hashBytes;
    return this.#current.hashes.subarray(at, at + hashBytes);
  }

  /** This leaf or the first one behind it that a tile has. */
  async from(leaf: number): Promise<number | undefined> {
    await this.#go(Math.floor(leaf / tileWidth));
    const start = (this.#current?.index ?? -1) * tileWidth;
    return start + tileWidth > leaf ? Math.max(leaf, start) : undefined;
  }

  async #go(wanted: number): Promise<void> {
    while ((this.#current?.index ?? -1) < wanted && !(this.#isEnd && this.#held.length === 0)) {
      const row = this.#held.shift();
      if (row !== undefined) this.#current = { index: row["tile_index"] as number, hashes: bytes(row["hashes"]) };
      else {
        const { done, value } = await this.#batches.next();
        if (done === true) this.#isEnd = true;
        else this.#held = value;
      }
    }
  }
}
