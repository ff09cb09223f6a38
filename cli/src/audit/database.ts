import { readFile } from "node:fs/promises";
import { join } from "node:path";
import pg from "pg";
import type { Call, CallQuery } from "./call.ts";

export interface DatabaseAddress {
  readonly databaseUrl: string | undefined;
  /** Data directory of a running `sluice up`, which writes `run.json` there. */
  readonly dataDir: string;
}

export interface AuditDatabase extends AsyncDisposable {
  /** The last calls that fit, the oldest first. */
  last(query: CallQuery, limit: number): Promise<Call[]>;
  /** Calls of which something was stored in the last `windowSeconds`, the oldest first. */
  recent(query: CallQuery, windowSeconds: number): Promise<Call[]>;
}

/** Counts of bytes and events: far below what a number holds exactly. */
pg.types.setTypeParser(pg.types.builtins.INT8, Number);

/** Connects to where the audit service stores. @throws Error that says what to do. */
export async function openDatabase(address: DatabaseAddress): Promise<AuditDatabase> {
  const client = new pg.Client({
    connectionString: await urlOf(address),
    application_name: "sluice-cli",
    connectionTimeoutMillis: 5_000,
    options: "-c default_transaction_read_only=on",
  });
  client.on("error", () => {});
  await client.connect().catch((error: Error) => {
    throw new Error(
      `the audit database does not answer (${error.message}). Is Sluice running? Start it with: npm start`,
    );
  });
  return {
    last: (query, limit) =>
      select(
        client,
        `select * from (select * from audit_calls where ${filter} order by at desc limit $4) as newest order by at`,
        [...valuesOf(query), limit],
      ),
    recent: (query, windowSeconds) =>
      select(
        client,
        `select * from audit_calls where ${filter} and call in
          (select call from audit_events where stored_at > now() - make_interval(secs => $4)) order by at`,
        [...valuesOf(query), windowSeconds],
      ),
    [Symbol.asyncDispose]: () => client.end(),
  };
}

const filter =
  "($1::text is null or tenant = $1) and ($2::text is null or agent_id = $2) and ($3::timestamptz is null or at >= $3)";

function valuesOf({ tenant, agent, since }: CallQuery): unknown[] {
  return [tenant ?? null, agent ?? null, since ?? null];
}

const undefinedTable = "42P01";

async function select(client: pg.Client, text: string, values: unknown[]): Promise<Call[]> {
  try {
    return (await client.query<Call>(text, values)).rows;
  } catch (error) {
    if ((error as pg.DatabaseError).code !== undefinedTable) throw error;
    throw new Error("the database holds no audit trail yet: the audit service makes it when it first starts", {
      cause: error,
    });
  }
}

async function urlOf({ databaseUrl, dataDir }: DatabaseAddress): Promise<string> {
  if (databaseUrl !== undefined && databaseUrl !== "") return databaseUrl;
  const file = join(dataDir, "run.json");
  const text = await readFile(file, "utf8").catch((error: NodeJS.ErrnoException) => {
    if (error.code !== "ENOENT") throw new Error(`${file} can't be read (${error.code})`, { cause: error });
    throw new Error(
      `no running Sluice found in ${dataDir}. Start one with: npm start. Or set DATABASE_URL, or give its directory with --data`,
    );
  });
  const url = (JSON.parse(text) as { databaseUrl?: unknown }).databaseUrl;
  if (typeof url !== "string")
    throw new Error(`${file} names no databaseUrl. Start Sluice anew with: npm start. Or set DATABASE_URL`);
  return url;
}
