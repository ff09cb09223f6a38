import type pg from "pg";
import { recordTypes } from "./row.ts";

const rowsAtOnce = 1_000;

export interface Select {
  readonly text: string;
  readonly values?: readonly unknown[];
  /** How many are held at once. */
  readonly atOnce?: number;
}

/** Columns by their names, but for those that are null. */
export type Row = Readonly<Record<string, unknown>>;

/** One state of the trail in a database: what is stored meanwhile is not seen. Nothing is written. */
export class TrailSnapshot implements AsyncDisposable {
  readonly #client: pg.ClientBase;
  #cursors = 0;

  private constructor(client: pg.ClientBase) {
    this.#client = client;
  }

  /** The client is free again once this is disposed of. */
  static async of(client: pg.ClientBase): Promise<TrailSnapshot> {
    await client.query("begin isolation level repeatable read read only");
    await client.query("set local timezone = 'UTC'; set local datestyle = 'ISO'; set local extra_float_digits = 1");
    await client.query("set local bytea_output = 'hex'; set local statement_timeout = 0");
    return new TrailSnapshot(client);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#client.query("rollback").catch(() => {});
  }

  /** All logs that anything is known of, by their names. */
  async logs(): Promise<string[]> {
    const logs = new Set<string>();
    for (const table of ["audit_events", "audit_tiles", "audit_heads", "audit_checkpoints"])
      for (const { log } of await this.all(distinctLogs(table))) logs.add(log as string);
    return [...logs].toSorted();
  }

  async all(text: string, values: readonly unknown[] = []): Promise<Row[]> {
    const { rows, fields } = await this.#client.query<unknown[]>(asked(text, values));
    return rows.map((row) => rowOf(row, fields));
  }

  /** The same some at a time, so that memory does not grow with the table. */
  async *batches({ text, values = [], atOnce = rowsAtOnce }: Select): AsyncGenerator<Row[]> {
    const cursor = `trail_${(this.#cursors += 1)}`;
    await this.#client.query(asked(`declare ${cursor} no scroll cursor for ${text}`, values));
    const fetch = `fetch forward ${atOnce} from ${cursor}`;
    for (;;) {
      const { rows, fields } = await this.#client.query<unknown[]>(asked(fetch));
      if (rows.length > 0) yield rows.map((row) => rowOf(row, fields));
      if (rows.length < atOnce) break;
    }
    await this.#client.query(`close ${cursor}`);
  }

  /** What is asked in `work` may be refused: the rest of the transaction goes on. Undefined where it was, for want of privileges. */
  async allowed<T>(work: () => Promise<T>): Promise<T | undefined> {
    await this.#client.query("savepoint trail");
    try {
      return await work();
    } catch (error) {
      if ((error as pg.DatabaseError).code !== insufficientPrivilege) throw error;
      await this.#client.query("rollback to savepoint trail");
      return undefined;
    }
  }
}

/** PostgreSQL Error Codes. */
const insufficientPrivilege = "42501";

function asked(text: string, values: readonly unknown[] = []): pg.QueryArrayConfig {
  return { text, values: [...values], rowMode: "array", types: recordTypes };
}

function rowOf(values: readonly unknown[], fields: readonly { name: string }[]): Row {
  const row: Record<string, unknown> = {};
  for (let index = 0; index < values.length; index += 1) {
    const value = values[index];
    if (value !== null) row[(fields[index] as { name: string }).name] = value;
  }
  return row;
}

/** Asks the index once per log, and not for every row. */
function distinctLogs(table: string): string {
  return `with recursive logs as (
      select min(log) as log from ${table}
      union all
      select (select min(log) from ${table} where log > logs.log) from logs where logs.log is not null
    ) select log from logs where log is not null`;
}
