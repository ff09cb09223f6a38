import type { Database } from "@sluice/runtime/postgres";
import { readEntries } from "./entries.ts";
import { keepCursors, readSizes, type Places } from "./log-places.ts";
import type { TrailEntry } from "@sluice/contracts";

const destination = "trail";

/** What the publisher of TRAIL reads and keeps in Postgres. */
export class TrailPlaces {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  /** How many events each log has. */
  sizes(): Promise<Places> {
    return this.#database.use(readSizes);
  }

  /** Where the log was left, as it was kept: for a stream that has nothing of it any more. */
  async cursor(log: string): Promise<number> {
    const text = "select next_index from audit_cursors where destination = $1 and log = $2";
    const query = { name: "trail-cursor", text, values: [destination, log] };
    const { rows } = await this.#database.use((client) => client.query<{ next_index: string }>(query));
    return Number(rows[0]?.next_index ?? 0);
  }

  keepCursors(next: Places): Promise<void> {
    return this.#database.use((client) => keepCursors(client, destination, next));
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
}
