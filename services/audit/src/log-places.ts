import type { ClientBase } from "pg";

/** A place in each log, such as how many events it has, or how far something has got in it. */
export type Places = ReadonlyMap<string, number>;

/** One look into the index for each log, however many heads there are. */
const newestHeads = `with recursive newest as (
    (select log, size from audit_heads order by log desc, size desc limit 1)
    union all
    select earlier.log, earlier.size from newest,
      lateral (select log, size from audit_heads where log < newest.log order by log desc, size desc limit 1) as earlier
  ) select log, size from newest`;

/** How many events each log has. */
export async function readSizes(client: ClientBase): Promise<Places> {
  const { rows } = await client.query<{ log: string; size: string }>({ name: "log-sizes", text: newestHeads });
  return new Map(rows.map(({ log, size }) => [log, Number(size)]));
}

/** Writes down how far something has got: all of it, or nothing. */
export async function keepCursors(client: ClientBase, destination: string, next: Places): Promise<void> {
  await client.query({
    name: "keep-cursors",
    text: `insert into audit_cursors (destination, log, next_index)
      select $1, log, next_index from unnest($2::text[], $3::bigint[]) as place (log, next_index) order by log
      on conflict (destination, log) do update set next_index = excluded.next_index`,
    values: [destination, [...next.keys()], [...next.values()]],
  });
}
