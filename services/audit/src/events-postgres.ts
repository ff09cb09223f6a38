import type { DatabaseOptions } from "@sluice/runtime";
import { Database, isFaultOfTheData } from "@sluice/runtime/postgres";
import { auditSchema } from "@sluice/schema";
import { actionColumns, intentColumns, outcomeColumns, streamColumns, type EventRow } from "./event-row.ts";

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
  { kind: "stream", columns: Object.entries(streamColumns) },
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

/** Events in the table `audit_events`, which the owner of the database makes. */
export class PostgresEvents implements Events, AsyncDisposable {
  readonly #database: Database;

  constructor(options: DatabaseOptions) {
    this.#database = new Database(options, {
      name: "sluice-audit",
      ...auditSchema,
      migrates: false,
      connections: 2,
      connectTimeoutMs: 5_000,
      queryTimeoutMs: 30_000,
    });
  }

  store(rows: readonly EventRow[]): Promise<number> {
    const inOneOrder = rows.toSorted((a, b) => (a.event_id < b.event_id ? -1 : Number(a.event_id > b.event_id)));
    const values = kinds.flatMap(({ kind, columns }) =>
      arraysOf(
        inOneOrder.filter((row) => row.kind === kind),
        columns,
      ),
    );
    return this.#database
      .use(async (client) => {
        const { rows: answer } = await client.query<{ stored: string }>({ ...insert, values });
        return Number(answer[0]?.stored ?? 0);
      })
      .catch(sortOut);
  }

  check(): Promise<void> {
    return this.#database.check();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#database[Symbol.asyncDispose]();
  }
}

function arraysOf(rows: readonly EventRow[], columns: readonly [string, string][]): unknown[][] {
  return columns.map(([name]) => rows.map((row) => row[name as keyof EventRow] ?? null));
}

function sortOut(error: unknown): never {
  if (isFaultOfTheData(error)) throw new Unstorable(`the database refuses it: ${error.code}`, { cause: error });
  throw error;
}
