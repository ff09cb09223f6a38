import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import type { ClientBase } from "pg";

const migrationsDir = join(import.meta.dirname, "../migrations");
/** Any number, as long as nothing else in the database takes it: it lets one replica at a time migrate. */
const lockKey = 7_583_221;

/** Brings the schema up to date in one transaction: all of it or nothing, and only one replica at a time. */
export async function migrate(client: ClientBase): Promise<void> {
  const files = (await readdir(migrationsDir)).filter((name) => name.endsWith(".sql")).toSorted();
  await client.query("begin");
  try {
    await client.query("select pg_advisory_xact_lock($1)", [lockKey]);
    await client.query(
      "create table if not exists audit_migrations (name text primary key, applied_at timestamptz not null default now())",
    );
    const { rows } = await client.query<{ name: string }>("select name from audit_migrations");
    const applied = new Set(rows.map((row) => row.name));
    for (const name of files) {
      if (applied.has(name)) continue;
      await client.query(await readFile(join(migrationsDir, name), "utf8"));
      await client.query("insert into audit_migrations (name) values ($1)", [name]);
    }
    await client.query("commit");
  } catch (error) {
    await client.query("rollback").catch(() => {});
    throw error;
  }
}
