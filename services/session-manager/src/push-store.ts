import type {
  FoundPush,
  ListedPush,
  PushBind,
  PushDrop,
  PushFind,
  PushList,
  PushSave,
  Renames,
  Webhook,
} from "@sluice/contracts";
import type { Database } from "@sluice/runtime/postgres";
import type { PushVault, WebhookPlace } from "./push-vault.ts";

type Using = Pick<Database, "use">;
type Client = Parameters<Parameters<Database["use"]>[0]>[0];

interface Row {
  readonly id: string;
  readonly tenant: string;
  readonly server: string;
  readonly identity: string;
  readonly agent: string;
  readonly is_listed: boolean;
  readonly call: string;
  readonly client_version: PushSave["client"]["version"];
  readonly client_binding: PushSave["client"]["binding"];
  readonly upstream_version: PushSave["upstream"]["version"];
  readonly upstream_binding: PushSave["upstream"]["binding"];
  readonly task: string | null;
  readonly client_task: string | null;
  readonly config: string | null;
  readonly upstream_config: string | null;
  readonly chosen_task: string | null;
  readonly renames: Renames | null;
  readonly sealed: Buffer;
}

/** A row with what the caller calls the task that is asked about, and its context; whose that task is. */
interface FoundRow extends Row {
  readonly task_identity: string | null;
  readonly task_client: string | null;
  readonly context: string | null;
  readonly context_client: string | null;
}

const insert = `
insert into a2a_push (id, tenant, server, identity, agent, is_listed, call, client_version, client_binding,
  upstream_version, upstream_binding, config, chosen_task, renames, sealed, expires_at)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, to_timestamp($16::double precision / 1000))`;

const counted = `
select count(*)::int as kept from a2a_push
where (tenant, server, identity, task) = ($1, $2, $3, $4) and config is distinct from $5 and expires_at > now()`;

const pending = `
select * from a2a_push where (tenant, server, identity, call) = ($1, $2, $3, $4) and (task is null or task = $5) for update`;

const deleted = `delete from a2a_push where (tenant, server, identity, task, config) = ($1, $2, $3, $4, $5)`;

const replaced = `${deleted} and id <> $6`;

const bind = `update a2a_push set task = $2, config = $3, upstream_config = coalesce($4, upstream_config), sealed = $5, client_task = coalesce($6, client_task) where id = $1`;

const listed = `
select * from a2a_push
where (tenant, server, identity, task) = ($1, $2, $3, $4) and ($5::text is null or config = $5) and expires_at > now()
order by created_at, id`;

const find = `
select push.*, task.identity as task_identity, task.client as task_client, task.context, context.client as context_client
from a2a_push as push
left join a2a_names as task on (task.tenant, task.server, task.kind, task.upstream) = (push.tenant, push.server, 'task', $2)
left join a2a_names as context on (context.tenant, context.server, context.kind, context.upstream, context.identity)
  = (push.tenant, push.server, 'context', task.context, push.identity)
where push.id = $1 and push.expires_at > now()`;

/** Callers' webhooks in the table `a2a_push`, encrypted. */
export class PushStore {
  readonly #database: Using;
  readonly #vault: PushVault;
  readonly #mostPerTask: number;

  constructor(database: Using, { vault, mostPerTask }: { vault: PushVault; mostPerTask: number }) {
    this.#database = database;
    this.#vault = vault;
    this.#mostPerTask = mostPerTask;
  }

  /** Keeps a webhook that no task is bound to yet; false where the task has as many as it may have. */
  save({ webhook, ...push }: PushSave): Promise<boolean> {
    const { id, tenant, server, identity, client, upstream, task, config = null } = push;
    const sealed = this.#vault.seal({ tenant, identity, server, id }, webhook);
    return this.#database.use(async (database) => {
      if (task !== undefined) {
        const { rows } = await database.query<{ kept: number }>(counted, [tenant, server, identity, task, config]);
        if ((rows[0]?.kept ?? 0) >= this.#mostPerTask) return false;
      }
      const dialects = [client.version, client.binding, upstream.version, upstream.binding];
      const names = [config, push.chosenTask ?? null, push.renames ?? null];
      const values = [id, tenant, server, identity, push.agent, push.isListed, push.call, ...dialects, ...names];
      await database.query(insert, [...values, sealed, push.expiresAt]);
      return true;
    });
  }

  /** Binds what a call saved, in place of what was called so before; resolves with the caller's names of it. Twice is as once. */
  bind({ tenant, server, identity, call, ...bound }: PushBind): Promise<string[]> {
    return this.#inTransaction(async (database) => {
      const { rows } = await database.query<Row>(pending, [tenant, server, identity, call, bound.task]);
      for (const row of rows) await this.#bind(database, row, bound);
      return rows.map((row) => nameOf(row, bound));
    });
  }

  async drop({ tenant, server, identity, call }: PushDrop): Promise<void> {
    const text = "delete from a2a_push where (tenant, server, identity, call) = ($1, $2, $3, $4) and task is null";
    await this.#database.use((database) => database.query(text, [tenant, server, identity, call]));
  }

  async list({ tenant, server, identity, task, config }: PushList): Promise<ListedPush[]> {
    const values = [tenant, server, identity, task, config ?? null];
    const { rows } = await this.#database.use((database) => database.query<Row>(listed, values));
    return rows.map((row) => {
      const { url, authentication } = this.#open(row);
      return {
        config: row.config ?? "",
        url,
        ...(authentication !== undefined && { scheme: authentication.scheme }),
        ...(row.upstream_config !== null && { upstreamConfig: row.upstream_config }),
      };
    });
  }

  async delete({ tenant, server, identity, task, config }: PushList): Promise<void> {
    await this.#database.use((database) => database.query(deleted, [tenant, server, identity, task, config ?? null]));
  }

  async find({ id, task }: PushFind): Promise<FoundPush | undefined> {
    const { rows } = await this.#database.use((database) => database.query<FoundRow>(find, [id, task]));
    const [row] = rows;
    if (row === undefined) return undefined;
    const renames = renamesOf(row, task);
    return {
      is: standing(row, task),
      tenant: row.tenant,
      server: row.server,
      identity: row.identity,
      agent: row.agent,
      isListed: row.is_listed,
      call: row.call,
      client: { version: row.client_version, binding: row.client_binding },
      upstream: { version: row.upstream_version, binding: row.upstream_binding },
      ...(row.config !== null && { config: row.config }),
      ...(row.chosen_task !== null && { chosenTask: row.chosen_task }),
      ...(renames !== undefined && { renames }),
      webhook: this.#open(row),
    };
  }

  /** Forgets what is kept no longer. */
  async sweep(): Promise<void> {
    await this.#database.use((database) => database.query("delete from a2a_push where expires_at <= now()"));
  }

  #open(row: Row): Webhook {
    return this.#vault.open(placeOf(row, row), row.sealed);
  }

  async #bind(
    database: Client,
    row: Row,
    bound: Pick<PushBind, "task" | "clientTask" | "upstreamConfig">,
  ): Promise<void> {
    const place = { task: bound.task, config: nameOf(row, bound) };
    const sealed = this.#vault.seal(placeOf(row, place), this.#open(row));
    await database.query(replaced, [row.tenant, row.server, row.identity, place.task, place.config, row.id]);
    const names = [place.task, place.config, bound.upstreamConfig ?? null];
    await database.query(bind, [row.id, ...names, sealed, bound.clientTask ?? null]);
  }

  #inTransaction<Result>(work: (database: Client) => Promise<Result>): Promise<Result> {
    return this.#database.use(async (database) => {
      await database.query("begin");
      try {
        const result = await work(database);
        await database.query("commit");
        return result;
      } catch (error) {
        await database.query("rollback").catch(() => {});
        throw error;
      }
    });
  }
}

/** As SDKs do: a configuration without a name is called like its task. */
function nameOf(row: Row, { task, clientTask }: Pick<PushBind, "task" | "clientTask">): string {
  return row.config ?? clientTask ?? task;
}

/** Before it is bound, a webhook is sealed without what it is bound to. */
function placeOf(
  { tenant, identity, server, id }: Row,
  { task, config }: { readonly task?: string | null; readonly config?: string | null },
): WebhookPlace {
  const isBound = task !== null && task !== undefined;
  return { tenant, identity, server, id, ...(isBound && { task, config: config ?? undefined }) };
}

function standing(row: FoundRow, task: string): FoundPush["is"] {
  const isAnothers = row.task_identity !== null && row.task_identity !== row.identity;
  if (isAnothers || (row.task !== null && row.task !== task)) return "foreign";
  return row.task === null ? "pending" : "bound";
}

/** What the caller calls the task and its context; until it is bound, what it has said about names. */
function renamesOf(row: FoundRow, task: string): Renames | undefined {
  if (row.task === null) return row.renames ?? undefined;
  const renamed = (upstream: string | null, client: string | null) =>
    upstream !== null && client !== null && client !== upstream ? [{ client, upstream }] : [];
  const tasks = renamed(task, row.client_task ?? row.task_client);
  const contexts = row.context === null ? (row.renames?.contexts ?? []) : renamed(row.context, row.context_client);
  return tasks.length + contexts.length === 0 ? undefined : { tasks, contexts };
}
