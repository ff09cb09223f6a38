import { plain, readTrail, trailFault, trailTypes, type PlacedRow, type TrailQuery } from "@sluice/trail";
import type { TrailFilter, TrailView } from "@sluice/contracts";
import type pg from "pg";
import type { Call, CallQuery } from "./call.ts";
import { connectReader } from "./reader.ts";
import type { DatabaseAddress } from "./where.ts";

export interface AuditDatabase extends AsyncDisposable {
  /** The last calls that fit, the oldest first. */
  last(query: CallQuery, limit: number): Promise<Call[]>;
  /** Calls of which something was stored in the last `windowSeconds`, and those named besides, the oldest first. */
  recent(query: CallQuery, besides: { windowSeconds: number; calls: readonly string[] }): Promise<Call[]>;
  /** What fits of a view, in one snapshot, as `readTrail`. */
  rows<View extends TrailView>(query: TrailQuery<View>): AsyncGenerator<readonly PlacedRow[]>;
  /** The connection itself, for what reads events as they are stored. */
  readonly client: pg.Client;
}

/** Rows in memory at once; some have large captured fields. */
const chunkRows = 500;

/** Connects to where the audit service stores, to read only. @throws Error that says what to do */
export async function openDatabase(address: DatabaseAddress): Promise<AuditDatabase> {
  const { client, isLocal } = await connectReader(address);
  let isLost = false;
  client.on("end", () => (isLost = true));
  client.on("error", () => (isLost = true));
  const explain = (error: unknown): unknown => {
    if (isLost || (error as pg.DatabaseError).code?.startsWith(shutdownCodes) === true)
      return new Error(isLocal ? "Sluice has stopped" : "the audit database has stopped", { cause: error });
    return trailFault(error);
  };
  await client.query("set default_transaction_read_only = on; set application_name = 'sluice-cli'");
  async function* rows<View extends TrailView>(query: TrailQuery<View>): AsyncGenerator<readonly PlacedRow[]> {
    try {
      yield* readTrail(client, query, { timeoutMs: 0, chunkRows });
    } catch (error) {
      throw explain(error);
    }
  }
  return {
    client,
    rows,
    last: async (query, limit) => {
      const found: Call[] = [];
      for await (const chunk of rows({ view: "calls", filter: filterOf(query), order: "newest", limit }))
        found.push(...chunk.map(({ row }) => row as unknown as Call));
      return found.toReversed();
    },
    recent: async (query, { windowSeconds, calls }) => {
      const values = [query.tenant ?? null, query.agent ?? null, query.since ?? null, windowSeconds, calls];
      const found = await client.query({ text: recent, values, types: trailTypes }).catch((error: unknown) => {
        throw explain(error);
      });
      return found.rows.map((row: Record<string, unknown>) => plain(row) as unknown as Call);
    },
    [Symbol.asyncDispose]: () => client.end().catch(() => {}),
  };
}

const recent = `select * from audit_calls
  where ($1::text is null or tenant = $1) and ($2::text is null or agent_id = $2) and ($3::timestamptz is null or at >= $3)
  and (call = any($5) or call in (select call from audit_events where stored_at > now() - make_interval(secs => $4)))
  order by at`;

function filterOf({ tenant, agent, since }: CallQuery): TrailFilter["calls"] {
  return {
    ...(tenant !== undefined && { tenant }),
    ...(agent !== undefined && { agent }),
    ...(since !== undefined && { since: since.toISOString() }),
  };
}

/** PostgreSQL Error Codes: operator intervention. */
const shutdownCodes = "57P";
