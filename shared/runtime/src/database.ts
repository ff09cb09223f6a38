import { readdir, readFile } from "node:fs/promises";
import type { ConnectionOptions } from "node:tls";
import { join } from "node:path";
import { DatabaseError, Pool, type ClientBase, type PoolClient } from "pg";
import type { DatabaseOptions } from "./postgres.ts";

export interface Schema {
  /** The directory of the migrations, which are applied in the order of their names. */
  readonly migrations: string;
  /** Where it stands which of them were. */
  readonly table: string;
  /** Any number, as long as nothing else in the database takes it: it lets one replica at a time migrate. */
  readonly lockKey: number;
}

export interface DatabaseUse extends Schema {
  /** Shown among the connections of the server. */
  readonly name: string;
  readonly connections: number;
  readonly connectTimeoutMs: number;
  readonly queryTimeoutMs: number;
}

/** SQLSTATE classes: data exception, integrity constraint violation. */
const faultOfTheData = /^2[23]/;

/** Whether the database will never take it, rather than not now. */
export function isFaultOfTheData(error: unknown): error is DatabaseError {
  return error instanceof DatabaseError && faultOfTheData.test(error.code ?? "");
}

/** Connections to Postgres; the first one that is used after a failure brings the schema up to date. */
export class Database implements AsyncDisposable {
  readonly #pool: Pool;
  readonly #schema: Schema;
  #migrated: Promise<void> | undefined;

  constructor({ connectionString, ssl }: DatabaseOptions, use: DatabaseUse) {
    this.#schema = use;
    this.#pool = new Pool({
      connectionString,
      ssl: ssl as ConnectionOptions | false,
      application_name: use.name,
      options: "-c synchronous_commit=on",
      max: use.connections,
      keepAlive: true,
      connectionTimeoutMillis: use.connectTimeoutMs,
      query_timeout: use.queryTimeoutMs,
    });
    // A connection that breaks while it is lent and does nothing tells nobody else.
    this.#pool.on("connect", (client) => client.on("error", () => {}));
    this.#pool.on("error", () => {});
  }

  /** What a failure leaves of a connection is not used again. */
  async use<Result>(work: (client: PoolClient) => Promise<Result>): Promise<Result> {
    const client = await this.#pool.connect();
    let failure: Error | undefined;
    try {
      await (this.#migrated ??= migrate(client, this.#schema));
      return await work(client);
    } catch (error) {
      if (!isFaultOfTheData(error)) {
        this.#migrated = undefined;
        failure = error as Error;
      }
      throw error;
    } finally {
      client.release(failure);
    }
  }

  /** Rejects while the database can't be reached. */
  check(): Promise<void> {
    return this.use(async (client) => void (await client.query("select 1")));
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#pool.end();
  }
}

/** Brings the schema up to date in one transaction: all of it or nothing, and only one replica at a time. */
async function migrate(client: ClientBase, { migrations, table, lockKey }: Schema): Promise<void> {
  const files = (await readdir(migrations)).filter((name) => name.endsWith(".sql")).toSorted();
  await client.query("begin");
  try {
    await client.query("select pg_advisory_xact_lock($1)", [lockKey]);
    await client.query(
      `create table if not exists ${table} (name text primary key, applied_at timestamptz not null default now())`,
    );
    const { rows } = await client.query<{ name: string }>(`select name from ${table}`);
    const applied = new Set(rows.map((row) => row.name));
    for (const name of files) {
      if (applied.has(name)) continue;
      await client.query(await readFile(join(migrations, name), "utf8"));
      await client.query(`insert into ${table} (name) values ($1)`, [name]);
    }
    await client.query("commit");
  } catch (error) {
    await client.query("rollback").catch(() => {});
    throw error;
  }
}
