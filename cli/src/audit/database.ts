import pg from "pg";
import type { Call, CallQuery } from "./call.ts";
import { readRunFile } from "./run-file.ts";
import { runningIngresses, withState } from "./running.ts";

export interface DatabaseAddress {
  readonly databaseUrl: string | undefined;
  /** Data directory of a running `sluice up`, which writes `run.json` there. */
  readonly dataDir: string;
}

export interface AuditDatabase extends AsyncDisposable {
  /** The last calls that fit, the oldest first. */
  last(query: CallQuery, limit: number): Promise<Call[]>;
  /** Calls of which something was stored in the last `windowSeconds`, and those named besides, the oldest first. */
  recent(query: CallQuery, besides: { windowSeconds: number; calls: readonly string[] }): Promise<Call[]>;
}

/** Counts of bytes and events: far below what a number holds exactly. */
pg.types.setTypeParser(pg.types.builtins.INT8, Number);

/** Connects to where the audit service stores. @throws Error that says what to do. */
export async function openDatabase(address: DatabaseAddress): Promise<AuditDatabase> {
  const { databaseUrl, ingresses } = await whereOf(address);
  const client = new pg.Client({
    connectionString: databaseUrl,
    application_name: "sluice-cli",
    connectionTimeoutMillis: 5_000,
    options: "-c default_transaction_read_only=on",
  });
  let isLost = false;
  client.on("error", () => (isLost = true));
  client.on("end", () => (isLost = true));
  await client.connect().catch((error: Error) => {
    throw new Error(
      `the audit database does not answer (${error.message}). Is Sluice running? Start it with: npm start`,
    );
  });
  const calls = async (text: string, values: unknown[]): Promise<Call[]> => {
    const found = await select(client, text, values).catch((error: pg.DatabaseError) => {
      if (!isLost && !error.code?.startsWith(shutdownCodes)) throw error;
      throw new Error(ingresses === undefined ? "the audit database has stopped" : "Sluice has stopped", {
        cause: error,
      });
    });
    const running = found.every(({ state }) => state === "done") ? undefined : await runningIngresses(ingresses ?? []);
    return found.map((call) => withState(call, running, Date.now()));
  };
  return {
    last: (query, limit) =>
      calls(
        `select * from (select * from audit_calls where ${filter} order by at desc limit $4) as newest order by at`,
        [...valuesOf(query), limit],
      ),
    recent: (query, besides) =>
      calls(
        `select * from audit_calls where ${filter} and (call = any($5) or call in
          (select call from audit_events where stored_at > now() - make_interval(secs => $4))) order by at`,
        [...valuesOf(query), besides.windowSeconds, besides.calls],
      ),
    [Symbol.asyncDispose]: () => client.end().catch(() => {}),
  };
}

const filter =
  "($1::text is null or tenant = $1) and ($2::text is null or agent_id = $2) and ($3::timestamptz is null or at >= $3)";

function valuesOf({ tenant, agent, since }: CallQuery): unknown[] {
  return [tenant ?? null, agent ?? null, since ?? null];
}

const undefinedTable = "42P01";
/** PostgreSQL Error Codes: operator intervention. */
const shutdownCodes = "57P";

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

export interface Where {
  readonly databaseUrl: string;
  /** Health URLs of the ingress replicas of a local instance; undefined where there is none. */
  readonly ingresses?: readonly string[];
}

/** Finds the audit database. @throws Error that says what to do. */
export async function whereOf({ databaseUrl, dataDir }: DatabaseAddress): Promise<Where> {
  if (databaseUrl !== undefined && databaseUrl !== "") return { databaseUrl };
  const run = await readRunFile(dataDir);
  const ingresses = (run.services ?? []).filter(({ name }) => name === "ingress").map(({ health }) => health);
  return { databaseUrl: run.readerDatabaseUrl, ingresses };
}
