import type { ConnectionOptions } from "node:tls";
import { DatabaseError, Pool, type PoolClient } from "pg";
import { migrate, missingMigrations, SchemaError, type Schema } from "@sluice/schema";
import type { DatabaseOptions } from "./postgres.ts";

export interface DatabaseUse extends Schema {
  /** False where somebody else, the owner, applies the migrations: it is only looked whether all of them were. */
  readonly migrates?: false;
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

/** Connections to Postgres; the first one that is used after a failure brings the schema up to date, or looks whether it is. */
export class Database implements AsyncDisposable {
  readonly #pool: Pool;
  readonly #use: DatabaseUse;
  #migrated: Promise<void> | undefined;

  constructor({ connectionString, ssl }: DatabaseOptions, use: DatabaseUse) {
    this.#use = use;
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

  /**
   * What a failure leaves of a connection is not used again.
   * @throws SchemaError where the database's tables are newer than this code, or older and not to be changed from here
   */
  async use<Result>(work: (client: PoolClient) => Promise<Result>): Promise<Result> {
    const client = await this.#pool.connect();
    let failure: Error | undefined;
    try {
      await (this.#migrated ??= bringUpToDate(client, this.#use));
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

async function bringUpToDate(client: PoolClient, { migrates, ...schema }: DatabaseUse): Promise<void> {
  if (migrates !== false) return void (await migrate(client, schema));
  const missing = await missingMigrations(client, schema);
  if (missing.length > 0)
    throw new SchemaError(
      `the database lacks ${missing.join(", ")}: let its owner run \`sluice audit migrate\` of this version`,
    );
}
