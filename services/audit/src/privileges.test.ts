import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { loadState, prepareDatabases, startPostgres, type DatabaseUrls, type Part } from "@sluice/launcher";
import { SchemaError } from "@sluice/schema";
import type { Log } from "@sluice/telemetry";
import pg from "pg";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { excessOf, Standing } from "./standing.ts";

type Who = keyof DatabaseUrls | "owner";

let dir: string;
let postgres: Part;
let urls: DatabaseUrls;
const scope = new AsyncDisposableStack();
const clients = new Map<Who, pg.Client>();

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), "sluice-privileges-"));
  postgres = await startPostgres({ dataDir: join(dir, "postgres"), env: { ...process.env, DATABASE_URL: "" } });
  scope.defer(() => rm(dir, { recursive: true, force: true }));
  scope.defer(() => postgres.stop());
  urls = await prepareDatabases(postgres, await loadState(dir));
  for (const [who, url] of Object.entries({ ...urls, owner: postgres.url })) {
    const client = new pg.Client(url);
    await client.connect();
    scope.defer(() => client.end());
    clients.set(who as Who, client);
  }
  await as(
    "owner",
    `insert into audit_events (event_id, log, leaf_index, leaf_hash, schema, kind, at, stored_at, emitter, call, action, result)
    values ('one.b', 'acme', 0, sha256('one'), 1, 'action', now(), now(), 'here', 'one', 'keys.create', 'noted')`,
  );
  await as("owner", "insert into audit_content values ('one.c', sha256('salt'), 'said')");
  await as("owner", "insert into audit_heads values ('acme', 1, sha256('one'), now())");
});
afterAll(() => scope.disposeAsync());

async function as(who: Who, sql: string): Promise<pg.QueryResult> {
  const client = clients.get(who);
  if (client === undefined) throw new Error(`${who} has no connection`);
  return client.query(sql);
}

/** What the server says of a statement; `done` where it takes it. */
const told = (who: Who, sql: string) =>
  as(who, sql).then(
    () => "done",
    (error: Error) => error.message,
  );

const trail = ["audit_events", "audit_tiles", "audit_heads", "audit_checkpoints"];
const everything = [...trail, "audit_subjects", "audit_captured", "audit_content"];
const insertEvent = `insert into audit_events (event_id, log, leaf_index, leaf_hash, schema, kind, at, stored_at, emitter, call, action, result)
  values ('two.b', 'acme', 1, sha256('two'), 1, 'action', now(), now(), 'here', 'two', 'keys.create', 'noted')`;
const refused = /permission denied|must be owner|append-only/;

describe("A35: logins on the audit database", () => {
  it("of the services may insert and select alone: no UPDATE, DELETE, TRUNCATE, ALTER or DROP of what is stored", async () => {
    for (const who of ["audit", "signer", "reader", "contentReader"] as const)
      for (const table of everything)
        for (const sql of [
          `update ${table} set ${table === "audit_captured" || table === "audit_content" ? "salt = salt" : "log = log"}`,
          ...(table === "audit_subjects" ? [] : [`delete from ${table}`]),
          `truncate ${table}`,
          `alter table ${table} add column more text`,
          `alter table ${table} disable trigger all`,
          `alter table ${table} owner to current_user`,
          `drop table ${table}`,
        ])
          expect(await told(who, sql), `${who}: ${sql}`).toMatch(refused);
    expect(await told("audit", "delete from audit_subjects")).toMatch(refused);
    expect(
      await told("audit", "create or replace function audit_refuse() returns trigger language sql as 'select 1'"),
    ).toMatch(/permission denied|must be owner/);
    expect(await told("audit", "set session_replication_role = replica")).toMatch(/permission denied/);
    expect(await told("audit", insertEvent)).toBe("done");
  });

  it("can't become another: not the owner, nor who may delete or read content", async () => {
    for (const who of ["audit", "signer", "reader"] as const)
      for (const role of ["sluice", "sluice_keeper", "audit_keeper", "audit_content_reader", "sluice_tasks"]) {
        expect(await told(who, `set role ${role}`), `${who}: ${role}`).toMatch(/permission denied to set role/);
        expect(await told(who, `grant ${role} to current_user`), `${who}: ${role}`).toMatch(
          /permission denied|must be superuser|must have admin/,
        );
      }
    expect(await told("audit", "create role more")).toMatch(/permission denied/);
  });

  it("reach neither session-manager's database nor, from there, the trail", async () => {
    const crossed = (from: string, to: string) => {
      const url = new URL(from);
      url.pathname = new URL(to).pathname;
      const client = new pg.Client(url.href);
      return client.connect().then(
        () => client.end().then(() => "done"),
        (error: Error) => error.message,
      );
    };
    expect(await crossed(urls.audit, urls["session-manager"])).toMatch(/permission denied for database/);
    expect(await crossed(urls["session-manager"], urls.audit)).toMatch(/permission denied for database/);
    expect((await as("session-manager", "select current_user, current_database()")).rows).toEqual([
      { current_user: "sluice_tasks", current_database: "sluice_tasks" },
    ]);
  });

  it("read content by its own role alone; the signer reads the tree and no event", async () => {
    for (const who of ["audit", "signer", "reader"] as const)
      expect(await told(who, "select data from audit_content"), who).toMatch(/permission denied/);
    expect((await as("contentReader", "select data from audit_content")).rowCount).toBe(1);
    expect((await as("signer", "select log, leaf_index, leaf_hash from audit_events")).rowCount).toBeGreaterThan(0);
    expect((await as("signer", "select root from audit_heads")).rowCount).toBe(1);
    for (const sql of [
      "select event_id from audit_events",
      "select * from audit_events",
      "select * from audit_subjects",
      "select * from audit_calls",
      "select * from audit_captured",
    ])
      expect(await told("signer", sql), sql).toMatch(/permission denied/);
  });

  it("store nothing where they are to read or to keep", async () => {
    for (const who of ["reader", "contentReader", "signer", "keeper"] as const) {
      expect(await told(who, insertEvent), who).toMatch(/permission denied/);
      expect(await told(who, "insert into audit_heads values ('acme', 9, sha256('x'), now())"), who).toMatch(
        /permission denied/,
      );
    }
    for (const table of everything) {
      const column = table === "audit_captured" || table === "audit_content" ? "salt" : "log";
      expect(await told("keeper", `update ${table} set ${column} = ${column}`), table).toMatch(/permission denied/);
      expect(await told("keeper", `truncate ${table}`), table).toMatch(/permission denied/);
    }
    for (const table of ["audit_tiles", "audit_heads", "audit_checkpoints"])
      expect(await told("keeper", `delete from ${table}`), table).toMatch(/permission denied/);
    expect(await told("keeper", "delete from audit_events where event_id = 'none'")).toBe("done");
    expect(await told("audit", "insert into audit_checkpoints values ('acme', 1, sha256('x'), now(), '')")).toMatch(
      /permission denied/,
    );
    expect(await told("signer", "insert into audit_checkpoints values ('acme', 1, sha256('x'), now(), '')")).toBe(
      "done",
    );
  });

  it("that may do more than store are told of in the log, /health and to operators, as are tables that don't fit", async () => {
    const excess = async (who: Who) => excessOf(clients.get(who) as pg.Client);
    expect(await excess("audit")).toBeUndefined();
    expect(await excess("owner")).toBe("sluice is a superuser of the database and may change audit events");
    expect(await excess("keeper")).toBe("sluice_keeper may change or delete audit events");
    const lines: string[] = [];
    const note = (details: { problem: string }) => void lines.push(details.problem);
    const standing = new Standing({ warn: note, error: note } as unknown as Log);
    for (let round = 0; round < 2; round++) standing.found(await excess("keeper"));
    expect(standing.report()).toEqual({ login: "sluice_keeper may change or delete audit events" });
    for (let round = 0; round < 2; round++) standing.missed(new SchemaError("the database lacks 0009-x"));
    expect(standing.report()).toMatchObject({ schema: "the database lacks 0009-x" });
    expect(standing.problems).toEqual([
      "the database lacks 0009-x",
      "sluice_keeper may change or delete audit events: give the audit service a login of its own",
    ]);
    expect(lines).toEqual(["sluice_keeper may change or delete audit events", "the database lacks 0009-x"]);
    standing.found(undefined);
    expect([standing.report(), standing.problems]).toEqual([{}, []]);
  });

  it("are made anew without harm, and with other names and passwords for a house on a Postgres that others run", async () => {
    const again = await prepareDatabases(postgres, await loadState(dir));
    expect(again).toEqual(urls);
    const theirs = await mkdtemp(join(tmpdir(), "sluice-privileges-"));
    scope.defer(() => rm(theirs, { recursive: true, force: true }));
    const given = { ...postgres, source: "url" } as Part;
    const state = await loadState(theirs);
    const other = await prepareDatabases(given, state);
    for (const url of [urls.audit, urls["session-manager"], other.audit, other["session-manager"], other.keeper]) {
      const client = new pg.Client(url);
      await client.connect();
      await client.end();
    }
    expect(new URL(other.audit).username).toBe(`sluice_audit_${state.databaseMark}`);
    expect(new URL(other["session-manager"]).pathname).toBe(`/sluice_tasks_${state.databaseMark}`);
  });

  it("are asked of an administrator where the user of DATABASE_URL may not make them", async () => {
    await as("owner", "create role plain login password 'plain'");
    await as("owner", "create database plain owner plain");
    const url = new URL(postgres.url);
    Object.assign(url, { username: "plain", password: "plain", pathname: "/plain" });
    const given = { ...postgres, source: "url", url: url.href } as Part;
    await expect(prepareDatabases(given, await loadState(dir))).rejects.toThrow("alter role … createrole createdb");
  });
});
