import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { startPostgres, type Part } from "@sluice/launcher";
import pg from "pg";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

const run = promisify(execFile);
const root = fileURLToPath(new URL("../", import.meta.url));
let dir: string;
let postgres: Part;

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), "sluice-deploy-postgres-"));
  postgres = await startPostgres({ dataDir: join(dir, "postgres"), env: { ...process.env, DATABASE_URL: "" } });
});
afterAll(async () => {
  await postgres.stop();
  await rm(dir, { recursive: true, force: true });
});

async function ask(url: string, sql: string): Promise<pg.QueryResult> {
  const client = new pg.Client(url);
  await client.connect();
  return client.query(sql).finally(() => client.end());
}

/** What a script of deploy/postgres has psql do, its variables filled in with their own names. */
async function sqlOf(script: string): Promise<string> {
  const text = await readFile(join(root, "deploy/postgres", script), "utf8");
  const sql = /<<'SQL'\n([\s\S]*)^SQL$/m.exec(text)?.[1] ?? "";
  return sql.replaceAll(/:'(\w+)'/g, "'$1'");
}

const migrate = (url: string) =>
  run(join(root, "deploy/entrypoint.sh"), ["audit-migrate"], {
    env: { PATH: process.env["PATH"], DATABASE_URL: url },
  });

describe("deploy/postgres on a real server", () => {
  it("makes logins that the container audit-migrate then gives their rights, and may be run again", async () => {
    for (const script of ["audit.sh", "audit.sh"]) await ask(postgres.url, await sqlOf(script));
    for (const statement of (await sqlOf("tasks.sh")).replace(":'password'", "'tasks'").split(";\n"))
      await ask(postgres.url, statement);
    const first = await migrate(postgres.url);
    expect(JSON.parse(first.stdout.trim().split("\n").at(-1) ?? "")).toMatchObject({
      applied: expect.arrayContaining(["0001-trail"]) as unknown,
    });
    expect(JSON.parse((await migrate(postgres.url)).stdout.trim().split("\n").at(-1) ?? "")).toMatchObject({
      applied: [],
    });

    const as = (name: string, password: string, sql: string) => {
      const url = new URL(postgres.url);
      Object.assign(url, { username: name, password });
      return ask(url.href, sql);
    };
    for (const [name, password] of [
      ["sluice_audit", "audit"],
      ["sluice_signer", "signer"],
      ["sluice_reader", "reader"],
      ["sluice_content_reader", "content"],
      ["sluice_keeper", "keeper"],
    ] as const) {
      expect((await as(name, password, "select size from audit_heads")).rows, name).toEqual([]);
      await expect(as(name, password, "update audit_events set at = now()"), name).rejects.toThrow("permission denied");
    }
    await expect(as("sluice_tasks", "password", "select 1")).rejects.toThrow("permission denied for database");
  });

  it("says why where it can't: of a login that may not, and a database that is newer", async () => {
    await ask(postgres.url, "insert into audit_trail_migrations (name, run_on) values ('0999-later', now())");
    await expect(migrate(postgres.url)).rejects.toMatchObject({
      code: 1,
      stdout: expect.stringContaining("the database is newer than this Sluice") as unknown,
    });
    await ask(postgres.url, "delete from audit_trail_migrations where name = '0999-later'");
    const url = new URL(postgres.url);
    url.password = "wrong";
    await expect(migrate(url.href)).rejects.toMatchObject({
      stdout: expect.stringMatching("password authentication failed") as unknown,
    });
  });
});
