import { DatabaseError, Pool, type PoolClient } from "pg";
import { actionColumns, intentColumns, outcomeColumns, type EventRow } from "./event-row.ts";
import { migrate } from "./migrate.ts";

/** Where events are kept for good. */
export interface Events {
  /**
   * Stores what is not stored yet and resolves with how many that were, once they are on disk.
   * @throws Unstorable where the rows themselves are refused; anything else is a matter of time.
   */
  store(rows: readonly EventRow[]): Promise<number>;
  /** Rejects while the store can't be reached. */
  check(): Promise<void>;
}

/** The store takes these rows neither now nor later. */
export class Unstorable extends Error {
  override readonly name = "Unstorable";
}

/** Each kind of event with its own columns only. */
const kinds: readonly { kind: EventRow["kind"]; columns: readonly [string, string][] }[] = [
  { kind: "intent", columns: Object.entries(intentColumns) },
  { kind: "outcome", columns: Object.entries(outcomeColumns) },
  { kind: "action", columns: Object.entries(actionColumns) },
];

/** One statement, so that a batch is stored whole or not at all. */
const insert = { name: "store-events", text: insertAll() };

function insertAll(): string {
  let parameters = 0;
  const inserts = kinds.map(({ kind, columns }) => {
    const text = `${kind}s as (${insertOf(columns, parameters)})`;
    parameters += columns.length;
    return text;
  });
  const counts = kinds.map(({ kind }) => `(select count(*) from ${kind}s)`);
  return `with ${inserts.join(", ")} select ${counts.join(" + ")} as stored`;
}

function insertOf(columns: readonly [string, string][], parametersBefore: number): string {
  const arrays = columns.map(([, type], index) => `$${parametersBefore + index + 1}::${type}[]`);
  return `insert into audit_events (${columns.map(([name]) => name).join(", ")})
    select * from unnest(${arrays.join(", ")}) on conflict (event_id) do nothing returning 1`;
}

/** SQLSTATE classes: data exception, integrity constraint violation. */
const faultOfTheData = /^2[23]/;

/** Events in the table `audit_events`, which it makes where it is missing. */
export class PostgresEvents implements Events, AsyncDisposable {
  readonly #pool: Pool;
  #migrated: Promise<void> | undefined;

  constructor(url: string) {
    this.#pool = new Pool({
      connectionString: url,
      application_name: "sluice-audit",
      options: "-c synchronous_commit=on",
      max: 2,
      keepAlive: true,
      connectionTimeoutMillis: 5_000,
      query_timeout: 30_000,
    });
    this.#pool.on("error", () => {});
  }

  store(rows: readonly EventRow[]): Promise<number> {
    const inOneOrder = rows.toSorted((a, b) => (a.event_id < b.event_id ? -1 : Number(a.event_id > b.event_id)));
    const values = kinds.flatMap(({ kind, columns }) =>
      arraysOf(
        inOneOrder.filter((row) => row.kind === kind),
        columns,
      ),
    );
    return this.#withClient(async (client) => {
      const { rows: answer } = await client.query<{ stored: string }>({ ...insert, values });
      return Number(answer[0]?.stored ?? 0);
    });
  }

  check(): Promise<void> {
    return this.#withClient(async (client) => void (await client.query("select 1")));
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#pool.end();
  }

  async #withClient<Result>(work: (client: PoolClient) => Promise<Result>): Promise<Result> {
    const client = await this.#pool.connect();
    let failure: Error | undefined;
    try {
      await (this.#migrated ??= migrate(client));
      return await work(client).catch(sortOut);
    } catch (error) {
      if (!(error instanceof Unstorable)) {
        this.#migrated = undefined;
        failure = error as Error;
      }
      throw error;
    } finally {
      client.release(failure);
    }
  }
}

function arraysOf(rows: readonly EventRow[], columns: readonly [string, string][]): unknown[][] {
  return columns.map(([name]) => rows.map((row) => row[name as keyof EventRow] ?? null));
}

function sortOut(error: unknown): never {
  if (error instanceof DatabaseError && faultOfTheData.test(error.code ?? "")) {
    throw new Unstorable(`the database refuses it: ${error.code}`, { cause: error });
  }
  throw error;
}
