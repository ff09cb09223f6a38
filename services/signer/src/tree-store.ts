import type { Checkpoint } from "@sluice/contracts";
import type { DatabaseOptions } from "@sluice/runtime";
import { Database } from "@sluice/runtime/postgres";
import { auditSchema } from "@sluice/schema";
import type { QueryResultRow } from "pg";
import type { Head } from "./checkpoint.ts";
import { hashBytes, type CompactRange } from "./compact-range.ts";

/** What a tree of that size needs is not there. */
export class TreeGap extends Error {
  override readonly name = "TreeGap";
}

export interface Extent {
  readonly log: string;
  /** Up to which leaf. */
  readonly to: number;
  /** How many the log has; tiles that these fill are there. */
  readonly treeSize: number;
}

const tileWidth = 256;
const tilesAtOnce = 32;
const leavesAtOnce = 4_096;
const deepestLevel = 5;

/** The newest head of each log: one look into the index for each of them, however many heads there are. */
const newestHeads = `with recursive newest as (
    (select log, size, root from audit_heads order by log desc, size desc limit 1)
    union all
    select next.* from newest, lateral (
      select log, size, root from audit_heads where log < newest.log order by log desc, size desc limit 1) as next
  ) select log, size, root from newest`;

/** Trees as Postgres has them, and where signed checkpoints stand. Reads no event, only hashes. */
export class TreeStore implements AsyncDisposable {
  readonly #database: Database;

  constructor(options: DatabaseOptions) {
    this.#database = new Database(options, {
      ...auditSchema,
      migrates: false,
      name: "sluice-signer",
      connections: 4,
      connectTimeoutMs: 5_000,
      queryTimeoutMs: 30_000,
    });
  }

  /** Of each log the largest tree. */
  async heads(): Promise<Map<string, Head>> {
    const rows = await this.#rows<{ log: string; size: string; root: Buffer }>("signer-heads", newestHeads, []);
    return new Map(rows.map(({ log, size, root }) => [log, { log, size: Number(size), root }]));
  }

  /** Checkpoints of a log, the largest tree first. */
  async checkpoints(log: string, limit: number): Promise<Checkpoint[]> {
    const text = "select size, root, at, note from audit_checkpoints where log = $1 order by size desc limit $2";
    const rows = await this.#rows<CheckpointRow>("signer-checkpoints", text, [log, limit]);
    return rows.map(({ size, root, at, note }) => ({
      ...{ log, size: Number(size), root: root.toString("hex"), at: at.getTime(), note },
    }));
  }

  async keep(checkpoints: readonly Checkpoint[]): Promise<void> {
    const text = `insert into audit_checkpoints (log, size, root, at, note)
      select * from unnest($1::text[], $2::bigint[], $3::bytea[], $4::timestamptz[], $5::text[]) on conflict do nothing`;
    await this.#rows("signer-keep", text, [
      checkpoints.map(({ log }) => log),
      checkpoints.map(({ size }) => size),
      checkpoints.map(({ root }) => Buffer.from(root, "hex")),
      checkpoints.map(({ at }) => new Date(at)),
      checkpoints.map(({ note }) => note),
    ]);
  }

  /**
   * Appends the leaves up to `to`, by the largest subtrees whose tiles are there; what fills no tile comes from the events.
   * @throws TreeGap where some are nowhere
   */
  async extend(range: CompactRange, extent: Extent): Promise<void> {
    while (range.size < extent.to)
      if (!(await this.#appendTiles(range, extent)) && !(await this.#appendLeaves(range, extent)))
        throw new TreeGap(`leaf ${range.size} of ${extent.log} is missing`);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#database[Symbol.asyncDispose]();
  }

  async #appendTiles(range: CompactRange, { log, to, treeSize }: Extent): Promise<boolean> {
    for (let level = deepestLevel; level >= 0; level--) {
      const unit = tileWidth ** level;
      if (range.size % unit !== 0 || range.size + unit > to) continue;
      const first = Math.floor(range.size / unit / tileWidth);
      const end = Math.min(Math.ceil(to / unit / tileWidth), Math.floor(treeSize / unit / tileWidth));
      if (first >= end) continue;
      const tiles = await this.#tiles({ log, level, first, end });
      for (const [index, hashes] of tiles) {
        for (let at = Math.floor(range.size / unit) - index * tileWidth; at < tileWidth; at++) {
          if (range.size + unit > to) return true;
          range.append(hashes.subarray(at * hashBytes, (at + 1) * hashBytes), level * 8);
        }
      }
      if (tiles.length > 0) return true;
    }
    return false;
  }

  /** From `first` on without a gap, as many as are read at once; a tile and its index. */
  async #tiles({ log, level, first, end }: TileSpan): Promise<[number, Buffer][]> {
    const text = `select tile_index, hashes from audit_tiles
      where log = $1 and level = $2 and tile_index >= $3 and tile_index < $4 order by tile_index limit ${tilesAtOnce}`;
    const rows = await this.#rows<{ tile_index: string; hashes: Buffer }>("signer-tiles", text, [
      ...[log, level, first, end],
    ]);
    const gap = rows.findIndex(({ tile_index: index }, place) => Number(index) !== first + place);
    return rows
      .slice(0, gap === -1 ? undefined : gap)
      .map(({ tile_index: index, hashes }) => [Number(index), hashes] as [number, Buffer]);
  }

  async #appendLeaves(range: CompactRange, { log, to }: Extent): Promise<boolean> {
    const text = `select leaf_index, leaf_hash from audit_events
      where log = $1 and leaf_index >= $2 and leaf_index < $3 order by leaf_index limit ${leavesAtOnce}`;
    const rows = await this.#rows<{ leaf_index: string; leaf_hash: Buffer }>("signer-leaves", text, [
      ...[log, range.size, to],
    ]);
    const before = range.size;
    for (const { leaf_index: index, leaf_hash: leaf } of rows) {
      if (Number(index) !== range.size) break;
      range.append(leaf);
    }
    return range.size > before;
  }

  #rows<Row extends QueryResultRow>(name: string, text: string, values: unknown[]): Promise<Row[]> {
    return this.#database.use(async (client) => (await client.query<Row>({ name, text, values })).rows);
  }
}

interface TileSpan {
  readonly log: string;
  readonly level: number;
  readonly first: number;
  readonly end: number;
}

interface CheckpointRow {
  readonly size: string;
  readonly root: Buffer;
  readonly at: Date;
  readonly note: string;
}
