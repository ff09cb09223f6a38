import type { DatabaseOptions } from "@sluice/runtime";
import { Database } from "@sluice/runtime/postgres";
import { auditSchema } from "@sluice/schema";
import type { ClientBase } from "pg";
import { keepCursors, readSizes } from "./log-places.ts";

/** An attempt that has no outcome yet. */
export interface OpenCall {
  readonly call: string;
  readonly at: Date;
  readonly tenant: string;
  readonly log: string;
  readonly emitter: string;
  readonly index: number;
}

/** One replica at a time. */
const lockKey = 7_583_225;
/** Where it stands in `audit_cursors` up to which leaf every attempt of a log is concluded. */
const destination = "outcomes";
/** Leaves that are looked at by one statement, and by one round. */
const chunk = 20_000;
const mostChunks = 50;
/** What one replica has in mind; what is beyond comes when there is room. */
const mostOpen = 200_000;

/** Finds attempts without an outcome. It follows the logs, so that each leaf is looked at once by each replica. */
export class OpenCalls implements AsyncDisposable {
  readonly #database: Database;
  readonly #open = new Map<string, OpenCall>();
  /** By log: the leaf that is looked at next, and the one that is written down. */
  readonly #next = new Map<string, number>();
  readonly #written = new Map<string, number>();
  #begun = false;

  constructor(options: DatabaseOptions) {
    this.#database = new Database(options, {
      ...auditSchema,
      migrates: false,
      name: "sluice-audit-outcomes",
      connections: 1,
      connectTimeoutMs: 5_000,
      queryTimeoutMs: 60_000,
    });
  }

  /** Every attempt that has no outcome now; undefined while another replica looks. */
  look(): Promise<readonly OpenCall[] | undefined> {
    return this.#database.use(async (client) => {
      await client.query(
        "begin; set local enable_seqscan = off; set local enable_hashjoin = off; set local enable_mergejoin = off",
      );
      const { rows } = await client.query<{ got: boolean }>("select pg_try_advisory_xact_lock($1) as got", [lockKey]);
      if (rows[0]?.got === true) await this.#lookAt(client);
      await client.query("commit");
      return rows[0]?.got === true ? [...this.#open.values()] : undefined;
    });
  }

  /** Which of these emitters said that they ended, having told all that they had. */
  async stopped(emitters: readonly string[]): Promise<ReadonlySet<string>> {
    const { rows } = await this.#database.use((client) =>
      client.query<{ emitter: string }>("select emitter from audit_events where event_id = any($1)", [
        emitters.map((emitter) => `${emitter}.stopped`),
      ]),
    );
    return new Set(rows.map(({ emitter }) => emitter));
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#database[Symbol.asyncDispose]();
  }

  async #lookAt(client: ClientBase): Promise<void> {
    if (!this.#begun) await this.#begin(client);
    await this.#dropConcluded(client);
    let chunks = 0;
    for (const [log, size] of await readSizes(client))
      for (let from = this.#next.get(log) ?? 0; from < size && chunks < mostChunks; from += chunk, chunks++) {
        if (this.#open.size >= mostOpen) return;
        const to = Math.min(from + chunk, size);
        for (const open of await openIn(client, { log, from, to })) this.#open.set(open.call, open);
        this.#next.set(log, to);
      }
    await this.#write(client);
  }

  async #begin(client: ClientBase): Promise<void> {
    const { rows } = await client.query<{ log: string; next: string }>(
      "select log, next_index as next from audit_cursors where destination = $1",
      [destination],
    );
    for (const { log, next } of rows) {
      this.#next.set(log, Number(next));
      this.#written.set(log, Number(next));
    }
    this.#begun = true;
  }

  async #dropConcluded(client: ClientBase): Promise<void> {
    if (this.#open.size === 0) return;
    const { rows } = await client.query<{ call: string }>({
      name: "concluded-calls",
      text: `select open.call from unnest($1::text[]) as open (call)
        where exists (select from audit_events where event_id in (open.call || '.o', open.call || '.u'))`,
      values: [[...this.#open.keys()]],
    });
    for (const { call } of rows) this.#open.delete(call);
  }

  async #write(client: ClientBase): Promise<void> {
    const cursors = new Map(this.#next);
    for (const { log, index } of this.#open.values()) cursors.set(log, Math.min(index, cursors.get(log) ?? index));
    const changed = new Map([...cursors].filter(([log, next]) => this.#written.get(log) !== next));
    if (changed.size === 0) return;
    await keepCursors(client, destination, changed);
    for (const [log, next] of changed) this.#written.set(log, next);
  }
}

interface Range {
  readonly log: string;
  readonly from: number;
  readonly to: number;
}

async function openIn(client: ClientBase, { log, from, to }: Range): Promise<OpenCall[]> {
  const { rows } = await client.query<Omit<OpenCall, "index"> & { index: string }>({
    name: "open-calls",
    text: `select call, at, tenant, log, emitter, leaf_index as index from audit_events as intent
      where log = $1 and leaf_index >= $2 and leaf_index < $3 and kind = 'intent'
        and not exists (select from audit_events where event_id = intent.call || '.o')
        and not exists (select from audit_events where event_id = intent.call || '.u')`,
    values: [log, from, to],
  });
  return rows.map((row) => ({ ...row, index: Number(row.index) }));
}
