import type { ClientBase } from "pg";
import type { Columns } from "./event-row.ts";
import type { Sealing } from "./sealing.ts";
import type { Tile } from "./tree.ts";

/** A row with its place in its log's tree. */
export interface Leaf {
  readonly id: string;
  readonly columns: Columns;
  readonly index: number;
  readonly hash: Buffer;
}

/** The newest head of a log, and the tiles that were made whole on the way to it. */
export interface Growth {
  readonly log: string;
  readonly size: number;
  readonly root: Buffer;
  readonly tiles: readonly Tile[];
}

export interface Insertion {
  readonly leaves: readonly Leaf[];
  readonly growths: readonly Growth[];
  readonly sealing: Sealing;
  readonly at: Date;
}

const text = `
  with
    events as (insert into audit_events select * from json_populate_recordset(null::audit_events, $1)),
    heads as (insert into audit_heads (log, size, root, at) select log, size, root, $2 from unnest($3::text[], $4::bigint[], $5::bytea[]) as head (log, size, root)),
    tiles as (insert into audit_tiles (log, level, tile_index, hashes) select * from unnest($6::text[], $7::smallint[], $8::bigint[], $9::bytea[])),
    subjects as (insert into audit_subjects (log, value, commitment, salt) select * from unnest($10::text[], $11::text[], $12::bytea[], $13::bytea[])),
    captured as (insert into audit_captured (event_id, salt, fields) select id, salt, fields::jsonb from unnest($14::text[], $15::bytea[], $16::text[]) as sealed (id, salt, fields)),
    contents as (insert into audit_content (event_id, salt, data) select * from unnest($17::text[], $18::bytea[], $19::bytea[]))
  select 1`;

/** In hex, as Postgres reads them. */
const bytesColumns = [
  "agent_id",
  "agent_name",
  "agent_owner",
  "auth_user",
  "peer",
  "arguments_hash",
  "result_hash",
  "captured",
  "content",
];

/** Inserts all of it by one statement. */
export async function insertEvents(client: ClientBase, insertion: Insertion): Promise<void> {
  const { leaves, growths, sealing, at } = insertion;
  // In one order everywhere: two transactions with the same events in other logs wait for each other, and never in a circle.
  const rows = leaves.toSorted((one, other) => (one.id < other.id ? -1 : 1)).map(rowOf);
  const tiles = growths.flatMap(({ log, tiles: whole }) => whole.map((tile) => ({ log, ...tile })));
  const values = [
    JSON.stringify(rows),
    at,
    ...columnsOf(growths, ["log", "size", "root"]),
    ...columnsOf(tiles, ["log", "level", "index", "hashes"]),
    ...columnsOf(sealing.subjects, ["log", "value", "commitment", "salt"]),
    ...columnsOf(sealing.captured, ["id", "salt", "kept"]),
    ...columnsOf(sealing.contents, ["id", "salt", "kept"]),
  ];
  await client.query({ name: "insert-events", text, values });
}

function rowOf({ columns, index, hash }: Leaf): Record<string, unknown> {
  const row: Record<string, unknown> = { ...columns, leaf_index: index, leaf_hash: `\\x${hash.toString("hex")}` };
  for (const name of bytesColumns) if (typeof row[name] === "string") row[name] = `\\x${row[name]}`;
  return row;
}

function columnsOf<Item>(items: readonly Item[], names: readonly (keyof Item)[]): unknown[][] {
  return names.map((name) => items.map((item) => item[name]));
}
