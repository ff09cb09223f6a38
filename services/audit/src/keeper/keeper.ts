import { personalColumns } from "@sluice/contracts";
import type { DatabaseOptions } from "@sluice/runtime";
import { Database } from "@sluice/runtime/postgres";
import { auditSchema } from "@sluice/schema";
import type { PoolClient } from "pg";

/** The columns that a commitment to what somebody is called may stand in. */
export const people = personalColumns.join(", ");
/** The lock under which the writer adds to a log, and looks up what stands for whom. */
export const lockLog = "select pg_advisory_xact_lock(hashtextextended('sluice audit ' || $1, 0))";

/** With the rights to delete: what retention and erasure work on. */
export class Keeper implements AsyncDisposable {
  readonly #database: Database;

  constructor(options: DatabaseOptions) {
    this.#database = new Database(options, {
      ...auditSchema,
      migrates: false,
      name: "sluice-audit-keeper",
      connections: 2,
      connectTimeoutMs: 5_000,
      queryTimeoutMs: 600_000,
    });
  }

  use<Result>(work: (client: PoolClient) => Promise<Result>): Promise<Result> {
    return this.#database.use(work);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#database[Symbol.asyncDispose]();
  }
}

/** All of it or nothing. */
export async function transaction<Result>(client: PoolClient, work: () => Promise<Result>): Promise<Result> {
  await client.query("begin");
  try {
    const result = await work();
    await client.query("commit");
    return result;
  } catch (error) {
    await client.query("rollback").catch(() => {});
    throw error;
  }
}

/** How many events the log had until now, those that are gone included. */
export async function sizeOf(client: PoolClient, log: string): Promise<string> {
  const { rows } = await client.query<{ size: string }>(
    "select coalesce(max(leaf_index) + 1, 0) as size from audit_events where log = $1",
    [log],
  );
  return rows[0]?.size ?? "0";
}
