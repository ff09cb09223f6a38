import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import pg from "pg";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { prepareDatabases } from "./databases.ts";
import { loadState } from "./state.ts";
import { startPostgres } from "./postgres.ts";
import type { Part } from "./part.ts";

let dir: string;
let postgres: Part;

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), "sluice-databases-"));
  postgres = await startPostgres({ dataDir: join(dir, "postgres"), env: { ...process.env, DATABASE_URL: "" } });
});
afterAll(async () => {
  await postgres.stop();
  await rm(dir, { recursive: true, force: true });
});

async function ask(url: string, sql: string): Promise<unknown[]> {
  const client = new pg.Client(url);
  await client.connect();
  const answer = await client.query(sql).finally(() => client.end());
  return answer.rows;
}

/** As the services of an earlier Sluice made it, both as the superuser. */
async function earlierDatabase(): Promise<void> {
  await ask(
    postgres.url,
    `create table audit_migrations (name text primary key, applied_at timestamptz not null default now());
     insert into audit_migrations (name) values ('0001-audit-events.sql');
     create table audit_events (event_id text primary key, call text not null);
     create function audit_events_refuse() returns trigger language plpgsql as $$ begin raise exception 'append-only'; end $$;
     create trigger audit_events_append_only before update or delete or truncate on audit_events
       for each statement execute function audit_events_refuse();
     create view audit_calls as select call from audit_events;
     insert into audit_events values ('one.i', 'one')`,
  );
  const migrations = join(import.meta.dirname, "../../../services/session-manager/migrations");
  const names = (await readdir(migrations)).toSorted();
  for (const name of names) await ask(postgres.url, await readFile(join(migrations, name), "utf8"));
  await ask(
    postgres.url,
    `create table a2a_migrations (name text primary key, applied_at timestamptz not null default now());
     insert into a2a_migrations (name) values ${names.map((name) => `('${name}')`).join(", ")}`,
  );
}

describe("the databases of a house that an earlier Sluice made", () => {
  it("keep what is there: the trail aside as it was, and tasks in their place, which are session-manager's own now", async () => {
    await earlierDatabase();
    const urls = await prepareDatabases(postgres, await loadState(dir));
    expect(await ask(postgres.url, "select * from audit_before.audit_events")).toEqual([
      { event_id: "one.i", call: "one" },
    ]);
    await expect(ask(postgres.url, "delete from audit_before.audit_events")).rejects.toThrow("append-only");
    expect(await ask(urls.reader, "select * from audit_calls")).toEqual([]);

    const tasks = urls["session-manager"];
    expect(new URL(tasks).pathname).toBe(new URL(postgres.url).pathname);
    expect(await ask(tasks, "select count(*)::int as salts from a2a_salt")).toEqual([{ salts: 1 }]);
    await ask(tasks, "alter table a2a_names add column later text");
    await ask(
      tasks,
      "create or replace function a2a_is_ended(state text) returns boolean language sql as 'select true'",
    );
    await ask(tasks, "create table a2a_later (n int)");
    await expect(ask(tasks, "select * from audit_events")).rejects.toThrow("permission denied");
    await expect(ask(tasks, "select * from audit_before.audit_events")).rejects.toThrow("permission denied");
    await expect(ask(urls.audit, "select * from a2a_names")).rejects.toThrow("permission denied");
    expect(await prepareDatabases(postgres, await loadState(dir))).toEqual(urls);
  });
});
