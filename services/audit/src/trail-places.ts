import type { Database } from "@sluice/runtime/postgres";
import type { QueryResultRow } from "pg";
import { readEntries } from "./entries.ts";
import type { TrailEntry } from "@sluice/contracts";

/** How far something has got, by log. */
export type Sizes = ReadonlyMap<string, number>;

const destination = "trail";

/** The newest head of each log: one look into the index for each of them, however many heads there are. */
const newestHeads = `with recursive newest as (
    (select log, size from audit_heads order by log desc, size desc limit 1)
    union all
    select next.log, next.size from newest,
      lateral (select log, size from audit_heads where log < newest.log order by log desc, size desc limit 1) as next
  ) select log, size from newest`;

/** What the publisher of TRAIL reads and keeps in Postgres. */
export class TrailPlaces {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  /** How many events each log has. */
  async sizes(): Promise<Sizes> {
    const rows = await this.#rows<{ log: string; size: string }>("trail-heads", newestHeads, []);
    return new Map(rows.map(({ log, size }) => [log, Number(size)]));
  }

  /** Where the log was left, as it was kept: for a stream that has nothing of it any more. */
  async cursor(log: string): Promise<number> {
    const text = "select next_index from audit_cursors where destination = $1 and log = $2";
    const [row] = await this.#rows<{ next_index: string }>("trail-cursor", text, [destination, log]);
    return Number(row?.next_index ?? 0);
  }

  async keepCursors(next: Sizes): Promise<void> {
    const text = `insert into audit_cursors (destination, log, next_index)
      select $1, log, next_index from unnest($2::text[], $3::bigint[]) as place (log, next_index) order by log
      on conflict (destination, log) do update set next_index = excluded.next_index`;
    await this.#rows("trail-cursors", text, [destination, [...next.keys()], [...next.values()]]);
  }

  entries(log: string, from: number, limit: number): Promise<TrailEntry[]> {
    return this.#database.use((client) => readEntries(client, { log, from, limit }));
  }

  /** The entry without what was captured of the call, of which the commitment stands there. */
  async entryWithoutCaptured(log: string, index: number): Promise<TrailEntry | undefined> {
    const query = { log, from: index, limit: 1, withoutCaptured: true };
    const [entry] = await this.#database.use((client) => readEntries(client, query));
    return entry;
  }

  /** Does the work while no other replica does; false where one does. The lock goes with the connection that has it. */
  async alone(lockKey: number, work: () => Promise<void>): Promise<boolean> {
    return this.#database.use(async (client) => {
      const { rows } = await client.query<{ mine: boolean }>("select pg_try_advisory_lock($1) as mine", [lockKey]);
      if (rows[0]?.mine !== true) return false;
      try {
        await work();
      } finally {
        await client.query("select pg_advisory_unlock($1)", [lockKey]);
      }
      return true;
    });
  }

  #rows<Row extends QueryResultRow>(name: string, text: string, values: unknown[]): Promise<Row[]> {
    return this.#database.use(async (client) => (await client.query<Row>({ name, text, values })).rows);
  }
}
