import { createHmac } from "node:crypto";
import { join } from "node:path";
import type { TaskWatch, TaskWatchChange } from "@sluice/contracts";
import type { DatabaseOptions } from "@sluice/runtime";
import { Database } from "@sluice/runtime/postgres";
import type { Found, NameClaim, NameKind, OwnName, Registration } from "./task-names.ts";
import type { TaskPage, TaskQuestion } from "./task-list.ts";

interface FoundRow extends Omit<NameRow, "upstream" | "client"> {
  readonly upstream: string | null;
  readonly context_client: string | null;
  readonly taken: boolean;
  readonly salt: string;
}

/** What is kept of a registration, each name that its caller can say. */
export type Kept = readonly { readonly kind: NameKind; readonly client: string; readonly own: OwnName }[];

/** Another than those of audit's tables, which may lie in the same database. */
export const schema = {
  migrations: join(import.meta.dirname, "../migrations"),
  table: "a2a_migrations",
  lockKey: 7_583_222,
};

/**
 * Unknown and another's take the same way through the same indexes (A22). Taken is what anybody has at any agent, since two
 * endpoints, of two tenants even, can be one agent; all but what the caller itself has at another one.
 */
const find = `
select own.upstream, own.context, named.client as context_client, own.state, own.state_at, own.watch_egress, own.watch_stream,
  exists (select from a2a_names as any_ where (any_.kind, any_.upstream) = (claim.kind, claim.name)
    and ((any_.tenant, any_.identity) <> (claim.tenant, claim.identity) or any_.server = claim.server)) as taken,
  a2a_salt.salt
from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[]) with ordinality
  as claim (tenant, server, identity, kind, name, n)
cross join a2a_salt
left join a2a_names as own on (own.tenant, own.server, own.identity, own.kind, own.client)
  = (claim.tenant, claim.server, claim.identity, claim.kind, claim.name)
left join a2a_names as named on (named.tenant, named.server, named.kind, named.upstream, named.identity)
  = (own.tenant, own.server, 'context', own.context, own.identity)
order by claim.n`;

const watch = `
update a2a_names set watch_egress = $4, watch_stream = $5, touched_at = now()
where (tenant, server, kind, upstream) = ($1, $2, 'task', $3)
  and (watch_egress, watch_stream) is not distinct from ($6, $7)`;
const setWatch = `
update a2a_names set watch_egress = $4, watch_stream = $5 where (tenant, server, kind, upstream) = ($1, $2, 'task', $3)`;

const list = `
with named as (
  select task.upstream, task.client, task.state, task.state_at, context.upstream as context, context.client as context_client
  from a2a_names as task
  left join a2a_names as context on (context.tenant, context.server, context.kind, context.upstream, context.identity)
    = (task.tenant, task.server, 'context', task.context, task.identity)
  where (task.tenant, task.server, task.identity, task.kind) = ($1, $2, $3, 'task') and task.client is not null
    and ($4::text is null or context.client = $4)
    and ($5::text is null or task.state = $5)
    and ($6::bigint is null or task.state_at >= $6)
), page as (
  select * from named
  where $7::bigint is null or (state_at, upstream) < ($7, $8)
  order by state_at desc, upstream desc
  limit $9
)
select total.total, page.* from (select count(*) as total from named) as total left join page on true
order by page.state_at desc, page.upstream desc`;

/** One replica at a time forgets, a few at a time. */
const forget = `
delete from a2a_names where ctid = any (array(
  select ctid from a2a_names where touched_at < now() - make_interval(secs => $1) order by touched_at limit $2 for update skip locked
)) returning tenant, server, kind, upstream`;
const tooMany = `
select tenant, server, identity, count(*) - $1 as excess from a2a_names group by tenant, server, identity having count(*) > $1`;
/** It goes through all that is kept, which is no reason to give a call more time. */
const countTimeoutMs = 20_000;
/** Ended tasks first. */
const trim = `
delete from a2a_names where ctid = any (array(
  select ctid from a2a_names where (tenant, server, identity) = ($1, $2, $3)
  order by a2a_is_ended(state) desc, touched_at limit $4 for update skip locked
)) returning tenant, server, kind, upstream`;

/** Tasks and contexts in Postgres. Where it does not answer, every method rejects. */
export class PostgresTasks implements AsyncDisposable {
  readonly #database: Database;
  #registered = 0;
  #analyzeAt = 100;

  constructor(options: DatabaseOptions, timeoutMs: number) {
    this.#database = new Database(options, {
      ...schema,
      name: "sluice-session-manager",
      connections: 4,
      connectTimeoutMs: timeoutMs,
      queryTimeoutMs: timeoutMs,
    });
  }

  /** What is found for each claim, in order. */
  async find(claims: readonly NameClaim[]): Promise<Found[]> {
    const columns = (["tenant", "server", "identity", "kind", "name"] as const).map((column) =>
      claims.map((claim) => claim[column]),
    );
    const rows = await this.#query<FoundRow>("find-tasks", find, columns);
    return claims.map((claim, index) => foundOf(claim, rows[index]));
  }

  /**
   * What is kept of each, undefined where it is another's; one after the other, and known to everybody once it resolves.
   * @param isKeptElsewhere nothing is lost should the database crash before it is on its disk
   */
  async register(registrations: readonly Registration[], isKeptElsewhere = false): Promise<(Kept | undefined)[]> {
    const text = "select set_config('synchronous_commit', $2, true), a2a_register($1) as results";
    const [row] = await this.#query<{ results: (RegisteredRow | null)[] }>("register-tasks", text, [
      JSON.stringify(registrations),
      isKeptElsewhere ? "off" : "on",
    ]);
    this.#registered += registrations.length;
    if (this.#registered >= this.#analyzeAt) this.#analyze();
    return registrations.map((_, index) => keptOf(row?.results[index] ?? null));
  }

  /** A table that has just grown is planned for as an empty one, and each name looked for among all of its caller's. */
  #analyze(): void {
    this.#analyzeAt *= 10;
    void this.#query("analyze-tasks", "analyze a2a_names", []).catch(() => {});
  }

  /** Compare and set; what stands instead where that failed. */
  async watch({ tenant, server, task, expected, watch: wanted }: TaskWatchChange): Promise<TaskWatch | boolean> {
    const values = [wanted?.egress, wanted?.stream, expected?.egress, expected?.stream].map((value) => value ?? null);
    return this.#database.use(async (client) => {
      const { rowCount } = await client.query({
        name: "watch-task",
        text: watch,
        values: [tenant, server, task, ...values],
      });
      if (rowCount === 1) return true;
      const { rows } = await client.query<{ egress: string | null; stream: string | null }>(
        "select watch_egress as egress, watch_stream as stream from a2a_names where (tenant, server, kind, upstream) = ($1, $2, 'task', $3)",
        [tenant, server, task],
      );
      const { egress, stream } = rows[0] ?? { egress: null, stream: null };
      return egress === null || stream === null ? false : { egress, stream };
    });
  }

  /** Brings what was compared and set elsewhere. */
  async setWatch({ tenant, server, task, watch: wanted }: TaskWatchChange): Promise<void> {
    const values = [tenant, server, task, wanted?.egress ?? null, wanted?.stream ?? null];
    await this.#query("set-watch", setWatch, values);
  }

  async list(question: TaskQuestion): Promise<TaskPage> {
    const { tenant, server, identity, context, state, since, after, limit } = question;
    const rows = await this.#query<ListedRow>("list-tasks", list, [
      ...[tenant, server, identity, context ?? null, state ?? null, since ?? null],
      ...[after?.stateAt ?? null, after?.upstream ?? null, limit],
    ]);
    const tasks = rows.flatMap(({ upstream, client, state_at, ...rest }) =>
      upstream === null || client === null
        ? []
        : [
            {
              upstream,
              client,
              stateAt: Number(state_at),
              state: rest.state ?? undefined,
              context: rest.context ?? undefined,
              contextClient: rest.context_client ?? undefined,
            },
          ],
    );
    return { tasks, total: Number(rows[0]?.total ?? 0) };
  }

  /** Forgets what nobody touched for so long, and what callers have beyond their bound; resolves to what was forgotten. */
  async forget({ ttlSeconds, mostPerCaller, atOnce }: Forgetting): Promise<ForgottenName[]> {
    return this.#database.use(async (client) => {
      const forgotten = (await client.query<ForgottenName>(forget, [ttlSeconds, atOnce])).rows;
      const count = { text: tooMany, values: [mostPerCaller], query_timeout: countTimeoutMs };
      const { rows: callers } = await client.query<CallerRow>(count);
      for (const { tenant, server, identity, excess } of callers) {
        const { rows } = await client.query<ForgottenName>(trim, [
          ...[tenant, server, identity],
          Math.min(Number(excess), atOnce),
        ]);
        forgotten.push(...rows);
      }
      return forgotten;
    });
  }

  check(): Promise<void> {
    return this.#database.check();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#database[Symbol.asyncDispose]();
  }

  #query<Row extends object>(name: string, text: string, values: unknown[]): Promise<Row[]> {
    return this.#database.use(async (client) => (await client.query<Row>({ name, text, values })).rows);
  }
}

interface NameRow {
  readonly upstream: string;
  readonly client: string | null;
  readonly context: string | null;
  readonly state: string | null;
  readonly state_at: number | string | null;
  readonly watch_egress: string | null;
  readonly watch_stream: string | null;
}

interface RegisteredRow {
  readonly task: NameRow | null;
  readonly context: NameRow | null;
  readonly contextClient: string | null;
}

interface ListedRow {
  readonly total: string;
  readonly upstream: string | null;
  readonly client: string | null;
  readonly state: string | null;
  readonly state_at: string | null;
  readonly context: string | null;
  readonly context_client: string | null;
}

interface CallerRow {
  readonly tenant: string;
  readonly server: string;
  readonly identity: string;
  readonly excess: string;
}

export interface Forgetting {
  readonly ttlSeconds: number;
  readonly mostPerCaller: number;
  /** So many names of each reason at a time. */
  readonly atOnce: number;
}

export interface ForgottenName {
  readonly tenant: string;
  readonly server: string;
  readonly kind: "task" | "context";
  readonly upstream: string;
}

function foundOf(claim: NameClaim, row: FoundRow | undefined): Found {
  if (row === undefined) throw new Error("postgres answered less than was asked");
  if (row.upstream === null) return { newUpstream: row.taken ? madeUp(claim, row.salt) : claim.name };
  return { own: ownOf({ ...row, upstream: row.upstream }, row.context_client) };
}

function keptOf(row: RegisteredRow | null): Kept | undefined {
  if (row === null) return undefined;
  const kept = (kind: "task" | "context", name: NameRow | null) =>
    name === null || name.client === null ? [] : [{ kind, client: name.client, own: ownOf(name, row.contextClient) }];
  return [...kept("task", row.task), ...kept("context", row.context)];
}

function ownOf(row: Omit<NameRow, "client">, contextClient: string | null): OwnName {
  const { watch_egress: egress, watch_stream: stream } = row;
  return {
    upstream: row.upstream,
    context: row.context ?? undefined,
    contextClient: contextClient ?? undefined,
    state: row.state ?? undefined,
    stateAt: Number(row.state_at),
    watch: egress === null || stream === null ? undefined : { egress, stream },
  };
}

/** The same each time for the same caller, and for nobody to guess. */
function madeUp({ tenant, server, identity, kind, name }: NameClaim, salt: string): string {
  const hex = createHmac("sha256", salt)
    .update(JSON.stringify([tenant, server, identity, kind, name]))
    .digest("hex");
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-4${hex.slice(13, 16)}-a${hex.slice(17, 20)}-${hex.slice(20, 32)}`;
}
