import { readdir } from "node:fs/promises";
import { basename } from "node:path";
import type { ClientBase } from "pg";

export interface Schema {
  /** The directory of the migrations, which are applied in the order of their names. */
  readonly migrations: string;
  /** Where it stands which of them were. */
  readonly table: string;
  /** Any number, as long as nothing else in the database takes it: it lets one migrate at a time. */
  readonly lockKey: number;
}

/** The tables are not those that this version of Sluice needs; the message says what to do. */
export class SchemaError extends Error {
  override readonly name = "SchemaError";
}

/**
 * The names of the migrations that the database lacks, in their order.
 * @throws SchemaError where it has one that is unknown here: a newer Sluice has been at it
 */
export async function missingMigrations(client: ClientBase, { migrations, table }: Schema): Promise<string[]> {
  const known = (await readdir(migrations)).filter((name) => name.endsWith(".sql")).toSorted();
  const names = known.map((name) => basename(name, ".sql"));
  const { rows } = await client.query<{ there: boolean }>("select to_regclass($1) is not null as there", [table]);
  if (rows[0]?.there !== true) return names;
  const applied = await client.query<{ name: string }>(`select name from ${table}`);
  const done = new Set(applied.rows.map(({ name }) => basename(name, ".sql")));
  const newer = [...done].filter((name) => !names.includes(name));
  if (newer.length > 0)
    throw new SchemaError(
      `the database is newer than this Sluice, which does not know its migration ${newer.toSorted().join(", ")}: use the Sluice that made it, or a newer one`,
    );
  return names.filter((name) => !done.has(name));
}

/**
 * Brings the schema up to date in one transaction, all of it or nothing; who comes meanwhile waits.
 * @returns the names of the migrations that were applied
 * @throws SchemaError where the database is newer
 */
export async function migrate(client: ClientBase, schema: Schema): Promise<string[]> {
  if ((await missingMigrations(client, schema)).length === 0) return [];
  await client.query("select pg_advisory_lock($1)", [schema.lockKey]);
  try {
    const missing = await missingMigrations(client, schema);
    if (missing.length > 0) await apply(client, schema);
    return missing;
  } finally {
    // On a connection that is lost by now the lock is gone with it.
    await client.query("select pg_advisory_unlock($1)", [schema.lockKey]).catch(() => {});
  }
}

async function apply(client: ClientBase, { migrations, table }: Schema): Promise<void> {
  const { rows } = await client.query<{ name: string }>("select current_schema() as name");
  await takeOver(client, table);
  // Loaded by whom it has work for: most starts find nothing to do.
  const { runner } = await import("node-pg-migrate");
  await runner({
    dbClient: client,
    dir: migrations,
    direction: "up",
    migrationsTable: table,
    migrationsSchema: rows[0]?.name ?? "public",
    singleTransaction: true,
    noLock: true,
    logger: { info: ignore, warn: ignore, error: ignore },
  });
}

function ignore(): void {}

/** Gives the table that earlier versions of Sluice kept the form that node-pg-migrate's has. */
async function takeOver(client: ClientBase, table: string): Promise<void> {
  const { rows } = await client.query(
    "select from pg_attribute where attrelid = to_regclass($1) and attname = 'applied_at' and not attisdropped",
    [table],
  );
  if (rows.length === 0) return;
  await client.query(`
    do $$ begin
      alter table ${table} drop constraint ${table}_pkey;
      alter table ${table} rename column applied_at to run_on;
      alter table ${table} alter column run_on type timestamp, alter column run_on drop default;
      update ${table} set name = regexp_replace(name, '\\.sql$', '');
      alter table ${table} add column id integer;
      update ${table} set id = place.n
        from (select name, row_number() over (order by name) as n from ${table}) as place where place.name = ${table}.name;
      create sequence ${table}_id_seq owned by ${table}.id;
      perform setval('${table}_id_seq', (select max(id) from ${table}));
      alter table ${table} alter column id set default nextval('${table}_id_seq'), add primary key (id);
    end $$`);
}
