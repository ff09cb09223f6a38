import { hash } from "node:crypto";
import type { ClientBase } from "pg";

/** One destination of one log. */
export interface Target {
  readonly log: string;
  readonly name: string;
}

/** Where a destination is: all records of lower indices are its own. */
export interface Place extends Target {
  readonly next: number;
}

/** How far a log has got, for a destination. */
export interface Head extends Target {
  readonly size: number;
  /** When the first event that the destination does not have yet was stored; absent where it has all. */
  readonly waitingSince: Date | undefined;
}

/** A destination is its shard's, so that a thousand of them take no thousand locks. */
const shards = 64;
/** Any number: the first half of the keys of advisory locks that are for destinations. */
const lockClass = 7_583_222;

export function shardOf({ log, name }: Target): number {
  return Number.parseInt(hash("sha256", `${log} ${name}`, "hex").slice(0, 8), 16) % shards;
}

/** Which of these shards no other replica has: they are this connection's until it ends. */
export async function lockShards(client: ClientBase, wanted: readonly number[]): Promise<number[]> {
  const { rows } = await client.query<{ shard: number }>(
    "select shard from unnest($1::int[]) as shard where pg_try_advisory_lock($2, shard)",
    [wanted, lockClass],
  );
  return rows.map(({ shard }) => shard);
}

/** Where destinations are; those that are new begin at the end of their log, or at its start. */
export async function readPlaces(
  client: ClientBase,
  targets: readonly (Target & { readonly from: "start" | "now" })[],
): Promise<Place[]> {
  const values = [targets.map(({ name }) => name), targets.map(({ log }) => log)];
  await client.query(
    `insert into audit_cursors (destination, log, next_index)
     select name, target.log, case when starts = 'start' then 0 else coalesce(
       (select size from audit_heads where audit_heads.log = target.log order by size desc limit 1), 0) end
     from unnest($1::text[], $2::text[], $3::text[]) as target (name, log, starts)
     on conflict do nothing`,
    [...values, targets.map(({ from }) => from)],
  );
  const { rows } = await client.query<{ name: string; log: string; next: string }>(
    `select destination as name, audit_cursors.log, next_index as next from audit_cursors
     join unnest($1::text[], $2::text[]) as target (name, log) on destination = name and audit_cursors.log = target.log`,
    values,
  );
  return rows.map(({ next, ...target }) => ({ ...target, next: Number(next) }));
}

/** One query for all destinations. */
export async function readHeads(client: ClientBase, places: readonly Place[]): Promise<Head[]> {
  if (places.length === 0) return [];
  const { rows } = await client.query<{ name: string; log: string; size: string; at: Date | null }>({
    name: "destination-heads",
    text: `select name, place.log, head.size, waiting.at
      from unnest($1::text[], $2::text[], $3::bigint[]) as place (name, log, next)
      cross join lateral (select size from audit_heads where log = place.log order by size desc limit 1) as head
      left join lateral (
        select at from audit_heads where log = place.log and size > next order by size limit 1
      ) as waiting on true`,
    values: [places.map(({ name }) => name), places.map(({ log }) => log), places.map(({ next }) => next)],
  });
  return rows.map(({ size, at, ...target }) => ({ ...target, size: Number(size), waitingSince: at ?? undefined }));
}

/** Never back: another replica may have gone on from there. */
export async function movePlace(client: ClientBase, { name, log, next }: Place): Promise<void> {
  await client.query({
    name: "destination-move",
    text: `update audit_cursors set next_index = greatest(next_index, $3) where destination = $1 and log = $2`,
    values: [name, log, next],
  });
}
