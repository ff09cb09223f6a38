import type { ConnectionOptions } from "node:tls";
import type { DatabaseOptions } from "@sluice/runtime";
import { DatabaseError, Pool, type PoolClient } from "pg";
import { intentColumns, outcomeColumns, type EventRow } from "./event-row.ts";
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

const intents = Object.entries(intentColumns);
const outcomes = Object.entries(outcomeColumns);

/** One statement, so that a batch is stored whole or not at all; each kind of event with its own columns only. */
const insert = {
  name: "store-events",
  text: `with intents as (${insertOf(intents, 0)}), outcomes as (${insertOf(outcomes, intents.length)})
    select (select count(*) from intents) + (select count(*) from outcomes) as stored`,
};

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

  constructor({ connectionString, ssl }: DatabaseOptions) {
    this.#pool = new Pool({
      connectionString,
      ssl: ssl as ConnectionOptions | false,
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
    const values = [
      ...arraysOf(
        inOneOrder.filter(({ kind }) => kind === "intent"),
        intents,
      ),
      ...arraysOf(
        inOneOrder.filter(({ kind }) => kind === "outcome"),
        outcomes,
      ),
    ];
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
