import type { ClientBase } from "pg";
import { Edge, hashesOf, subtreeRoot, tileWidth } from "./tree.ts";

/** A log's tree as this process has written or seen it. */
export interface KnownHead {
  readonly size: number;
  readonly root: Buffer;
}

/** A log's tree as the store has it. */
export interface StoredHead {
  readonly log: string;
  /** Of its newest head. */
  readonly size: number;
  readonly root: Buffer | undefined;
  /** What was known when the store was asked: by now another transaction of this process may know more. */
  readonly known: KnownHead | undefined;
  /** The root that the store has at that size. */
  readonly rootThen: Buffer | undefined;
}

/** The store does not have what was written to it, or has something else: nothing may be added to it. */
export class TrailBroken extends Error {
  override readonly name = "TrailBroken";
}

/** Above it what others have added is not read leaf by leaf. */
const mostCaughtUp = 64 * tileWidth;
/** Edges that are held: each has some ten kilobytes. */
const mostEdges = 2_000;

/**
 * The right edges of logs' trees, as this process knows them. Each is held against the store before it is used, under the lock of
 * its log; what this process has once written or seen has to be there for as long as it lives.
 */
export class Edges {
  /** Never forgotten, but for what an edge is made of. */
  readonly #heads = new Map<string, KnownHead>();
  readonly #edges = new Map<string, Edge>();

  /** What is known here of the log. */
  known(log: string): KnownHead | undefined {
    return this.#heads.get(log);
  }

  /** The edge of the log at its newest head, to be appended to. @throws TrailBroken */
  async at(client: ClientBase, head: StoredHead): Promise<Edge> {
    const { log, size, root } = head;
    requireKnown(head);
    const known = this.#edges.get(log);
    let edge = known !== undefined && size - known.size <= mostCaughtUp ? known.copy() : await load(client, log, size);
    if (edge.size < size)
      for (const leaf of await leaves(client, { log, from: edge.size, to: size })) edge.append(leaf);
    // Of events that retention has removed since the hashes are in tiles alone.
    if (edge.size < size) edge = await load(client, log, size);
    if (edge.size !== size || (root !== undefined && !edge.root.equals(root)))
      throw new TrailBroken(`the events of the log ${log} do not make the tree that its head says (size ${size})`);
    return edge;
  }

  /** Takes over what was committed. */
  keep(log: string, edge: Edge): void {
    if (edge.size < (this.known(log)?.size ?? 0)) return;
    this.#heads.set(log, { size: edge.size, root: edge.root });
    this.#edges.delete(log);
    this.#edges.set(log, edge);
    const [oldest] = this.#edges.keys();
    if (this.#edges.size > mostEdges && oldest !== undefined) this.#edges.delete(oldest);
  }
}

function requireKnown({ log, size, known, rootThen }: StoredHead): void {
  if (known === undefined || rootThen?.equals(known.root) === true) return;
  throw new TrailBroken(
    `the log ${log} had ${known.size} events and has ${size}: the database was rolled back, or is another one`,
  );
}

async function load(client: ClientBase, log: string, size: number): Promise<Edge> {
  const levels: number[] = [];
  for (let nodes = size; nodes > 0; nodes = Math.floor(nodes / tileWidth)) levels.push(nodes - (nodes % tileWidth));
  const unfinished: Buffer[][] = levels.map(() => []);
  unfinished[0] = await leaves(client, { log, from: levels[0] ?? 0, to: size });
  const { rows } = await client.query<{ level: number; hashes: Buffer }>({
    name: "edge-tiles",
    text: `select tile.level, tile.hashes from unnest($2::smallint[], $3::bigint[]) as wanted (level, first)
      join audit_tiles as tile on tile.log = $1 and tile.level = wanted.level and tile.tile_index >= wanted.first
      order by tile.level, tile.tile_index`,
    values: [log, levels.slice(1).map((_, level) => level), levels.slice(1)],
  });
  for (const { level, hashes } of rows) unfinished[level + 1]?.push(subtreeRoot(hashesOf(hashes)));
  return Edge.of(size, unfinished);
}

interface Range {
  readonly log: string;
  readonly from: number;
  readonly to: number;
}

async function leaves(client: ClientBase, { log, from, to }: Range): Promise<Buffer[]> {
  const { rows } = await client.query<{ leaf_hash: Buffer }>({
    name: "leaf-hashes",
    text: `select leaf_hash from audit_events where log = $1 and leaf_index >= $2 and leaf_index < $3 order by leaf_index`,
    values: [log, from, to],
  });
  return rows.map((row) => row.leaf_hash);
}
