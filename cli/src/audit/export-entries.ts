import { personalColumns, type PrunedEntry, type TrailEntry } from "@sluice/contracts";
import type pg from "pg";
import { sealedColumns } from "./verify/leaf.ts";
import { TrailSnapshot, type Row } from "./verify/trail-database.ts";

export interface EntriesOptions {
  /** The only log that is asked for: a tenant, or `_gateway`. */
  readonly log?: string;
  /** With what was said, where it is kept; the login must be allowed to read it. */
  readonly content?: boolean;
  /** The signer's key (`vkey`), for who has no other word of it. */
  readonly key?: string;
}

const tileWidth = 256;
const hashBytes = 32;

/**
 * A verifiable export: lines of JSON without their ends, of one state of the database. First the checkpoints of all logs, the oldest first, then
 * the entries (`TrailEntry`, `PrunedEntry`), one log after the other, by index. The client is used for nothing else meanwhile.
 */
export async function* exportEntries(client: pg.ClientBase, options: EntriesOptions = {}): AsyncGenerator<string> {
  await using snapshot = await TrailSnapshot.of(client);
  const logs = options.log === undefined ? await snapshot.logs() : [options.log];
  for (const log of logs) {
    const notes = snapshot.batches({
      text: "select note from audit_checkpoints where log = $1 order by size",
      values: [log],
    });
    for await (const batch of notes)
      for (const { note } of batch) yield JSON.stringify({ checkpoint: note, key: options.key });
  }
  for (const log of logs) yield* entriesOf(snapshot, log, options.content === true);
}

async function* entriesOf(snapshot: TrailSnapshot, log: string, content: boolean): AsyncGenerator<string> {
  let next = 0;
  for await (const batch of snapshot.batches({ text: selectEntries(content), values: [log] })) {
    for (const row of batch) {
      const entry = entryOf(row);
      if (entry.index > next) yield* prunedEntries(snapshot, log, [next, entry.index]);
      yield JSON.stringify(entry);
      next = entry.index + 1;
    }
  }
  const pruned = await snapshot.all("select max(tile_index) as last from audit_tiles where log = $1 and level = 0", [
    log,
  ]);
  yield* prunedEntries(snapshot, log, [
    next,
    ((pruned[0]?.["last"] as number | undefined) ?? -1) * tileWidth + tileWidth,
  ]);
}

/** Of those that have no row and whose tile is there. */
async function* prunedEntries(
  snapshot: TrailSnapshot,
  log: string,
  [from, to]: readonly [number, number],
): AsyncGenerator<string> {
  for (let tile = Math.floor(from / tileWidth); tile * tileWidth < to; tile += 1) {
    const [found] = await snapshot.all(
      "select hashes from audit_tiles where log = $1 and level = 0 and tile_index = $2",
      [log, tile],
    );
    if (found === undefined) continue;
    const first = Math.max(from, tile * tileWidth);
    const last = Math.min(to, (tile + 1) * tileWidth);
    for (let index = first; index < last; index += 1) {
      const at = (index % tileWidth) * hashBytes * 2;
      const hash = (found["hashes"] as string).slice(at, at + hashBytes * 2);
      yield JSON.stringify({ log, index, hash } satisfies PrunedEntry);
    }
  }
}

/** The event of this id, or those of the call of this id, the first one first. */
export async function entriesById(snapshot: TrailSnapshot, id: string): Promise<TrailEntry[]> {
  const rows = await snapshot.all(
    `${selectOpened(false)} where e.event_id = $1 or e.call = $1 order by e.log, e.leaf_index`,
    [id],
  );
  const entries = rows.map(entryOf);
  const named = entries.filter(({ event }) => event["event_id"] === id);
  return named.length > 0 ? named : entries;
}

const opening = "opening:";
const value = (column: string) => `"${opening}${column}:value"`;
const salt = (column: string) => `"${opening}${column}:salt"`;

/** Rows of a log by index. */
function selectEntries(content: boolean): string {
  return `${selectOpened(content)} where e.log = $1 order by e.leaf_index`;
}

/** Rows with what their commitments stand for. */
function selectOpened(content: boolean): string {
  const opened = [
    ...personalColumns.map((column) => `${column}_of.value as ${value(column)}, ${column}_of.salt as ${salt(column)}`),
    `captured_of.fields as ${value("captured")}, captured_of.salt as ${salt("captured")}`,
    ...(content
      ? [`encode(content_of.data, 'base64') as ${value("content")}, content_of.salt as ${salt("content")}`]
      : []),
  ];
  const joins = [
    ...personalColumns.map(
      (column) => `left join audit_subjects ${column}_of on ${column}_of.commitment = e.${column}`,
    ),
    "left join audit_captured captured_of on captured_of.event_id = e.event_id",
    ...(content ? ["left join audit_content content_of on content_of.event_id = e.event_id"] : []),
  ];
  return `select e.*, ${opened.join(", ")} from audit_events e ${joins.join(" ")}`;
}

function entryOf(row: Row): TrailEntry {
  const event: Record<string, unknown> = {};
  const sealed: Record<string, { salt: string } | { commitment: string }> = {};
  for (const [column, said] of Object.entries(row)) {
    if (column === "leaf_index" || column === "leaf_hash" || column.startsWith(opening)) continue;
    const opened = row[`${opening}${column}:salt`];
    if (!sealedColumns.has(column)) event[column] = said;
    else if (opened === undefined) sealed[column] = { commitment: said as string };
    else {
      event[column] = asOneLine(column, row[`${opening}${column}:value`]);
      sealed[column] = { salt: opened as string };
    }
  }
  return {
    log: row["log"] as string,
    index: row["leaf_index"] as number,
    event,
    sealed,
    hash: row["leaf_hash"] as string,
  };
}

/** Postgres breaks lines of Base64 (RFC 2045). */
function asOneLine(column: string, said: unknown): unknown {
  return column === "content" ? (said as string).replaceAll("\n", "") : said;
}
