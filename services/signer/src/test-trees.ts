import { hash } from "node:crypto";
import type { Client } from "pg";

/** RFC 9162 §2.1.1 word for word. */
export function treeHash(leaves: readonly Buffer[]): Buffer {
  if (leaves.length === 0) return hash("sha256", "", "buffer");
  const [only] = leaves;
  if (leaves.length === 1 && only !== undefined) return only;
  let half = 1;
  while (half * 2 < leaves.length) half *= 2;
  const halves = [treeHash(leaves.slice(0, half)), treeHash(leaves.slice(half))];
  return hash("sha256", Buffer.concat([Buffer.of(1), ...halves]), "buffer");
}

export function leafHash(data: Buffer): Buffer {
  return hash("sha256", Buffer.concat([Buffer.of(0), data]), "buffer");
}

export const leafOf = (log: string, index: number) => leafHash(Buffer.from(`${log} ${index}`));

/** A log as the audit service writes it: events, whole tiles of three levels and heads. */
export class WrittenLog {
  readonly log: string;
  leaves: Buffer[] = [];
  readonly #database: Client;

  constructor(database: Client, log: string) {
    this.#database = database;
    this.log = log;
  }

  get root(): Buffer {
    return treeHash(this.leaves);
  }

  /** Appends so many leaves in one transaction. @returns the size of the tree */
  async grow(count: number): Promise<number> {
    const from = this.leaves.length;
    for (let index = from; index < from + count; index++) this.leaves.push(leafOf(this.log, index));
    await this.writeLeaves(from);
    await this.#writeTiles(from);
    await this.writeHead(this.leaves.length, this.root);
    return this.leaves.length;
  }

  async writeLeaves(from: number): Promise<void> {
    const added = this.leaves.slice(from);
    await this.#database.query(
      `insert into audit_events (event_id, log, leaf_index, leaf_hash, schema, kind, at, stored_at, emitter, service, word)
       select $1 || '-' || n, $1, n, hash, 1, 'emitter', now(), now(), 'e1', 'egress', 'started'
       from unnest($2::bigint[], $3::bytea[]) as leaf (n, hash)`,
      [this.log, added.map((_, index) => from + index), added],
    );
  }

  writeHead(size: number, root: Buffer): Promise<unknown> {
    const values = [this.log, size, root];
    return this.#database.query("insert into audit_heads (log, size, root, at) values ($1, $2, $3, now())", values);
  }

  async #writeTiles(before: number): Promise<void> {
    let nodes: readonly Buffer[] = this.leaves;
    let was = before;
    for (let level = 0; nodes.length >= 256; level++) {
      const whole = Math.floor(nodes.length / 256);
      was = Math.floor(was / 256);
      for (let tile = was; tile < whole; tile++)
        await this.#database.query("insert into audit_tiles (log, level, tile_index, hashes) values ($1, $2, $3, $4)", [
          ...[this.log, level, tile, Buffer.concat(nodes.slice(tile * 256, tile * 256 + 256))],
        ]);
      nodes = Array.from({ length: whole }, (_, tile) => treeHash(nodes.slice(tile * 256, tile * 256 + 256)));
    }
  }
}
