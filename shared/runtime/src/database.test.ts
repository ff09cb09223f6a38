import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { startPostgres, type Part } from "@sluice/launcher";
import pg from "pg";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Database } from "./database.ts";

let dir: string;
let postgres: Part;
let databases = 0;

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), "sluice-database-"));
  postgres = await startPostgres({ dataDir: join(dir, "postgres"), env: { ...process.env, DATABASE_URL: "" } });
});
afterAll(async () => {
  await postgres.stop();
  await rm(dir, { recursive: true, force: true });
});

interface World extends AsyncDisposable {
  readonly owner: pg.Client;
  readonly open: (migrates?: false) => Database;
  /** Puts a migration beside the others. */
  add(name: string, sql: string): Promise<void>;
}

/** A database and a directory of migrations of its own. */
async function world(): Promise<World> {
  const name = `world_${++databases}`;
  const migrations = join(dir, name);
  await mkdir(migrations);
  const admin = new pg.Client(postgres.url);
  await admin.connect();
  await admin.query(`create database ${name}`);
  await admin.end();
  const url = new URL(postgres.url);
  url.pathname = `/${name}`;
  const scope = new AsyncDisposableStack();
  const owner = new pg.Client(url.href);
  await owner.connect();
  scope.defer(() => owner.end());
  const use = { name, migrations, table: "steps", lockKey: 17, connections: 2 };
  const limits = { connectTimeoutMs: 10_000, queryTimeoutMs: 10_000 };
  return {
    owner,
    open: (migrates) => {
      const options = { connectionString: url.href, ssl: false } as const;
      return scope.use(new Database(options, { ...use, ...limits, ...(migrates === false && { migrates }) }));
    },
    add: (file, sql) => writeFile(join(migrations, file), sql),
    [Symbol.asyncDispose]: () => scope.disposeAsync(),
  };
}

const applied = async ({ owner }: World) =>
  (await owner.query<{ name: string }>("select name from steps order by id")).rows.map(({ name }) => name);

describe("migrations", () => {
  it("are applied once and in order, however many replicas begin at the same time", async () => {
    await using here = await world();
    await here.add("0001-made.sql", "create table made (n int); select pg_sleep(0.2); insert into made values (1);");
    await here.add("0002-more.sql", "insert into made values (2)");
    await Promise.all(Array.from({ length: 4 }, () => here.open().check()));
    expect((await here.owner.query("select n from made order by n")).rows).toEqual([{ n: 1 }, { n: 2 }]);
    expect(await applied(here)).toEqual(["0001-made", "0002-more"]);
  });

  it("leave nothing where one fails, and are applied once that is mended", async () => {
    await using here = await world();
    await here.add("0001-made.sql", "create table made (n int)");
    await here.add("0002-broken.sql", "insert into made values (1); insert into nowhere values (1)");
    const database = here.open();
    await expect(database.check()).rejects.toThrow('relation "nowhere" does not exist');
    expect((await here.owner.query("select to_regclass('made') as made")).rows).toEqual([{ made: null }]);
    await here.add("0002-broken.sql", "insert into made values (1)");
    await database.check();
    expect(await applied(here)).toEqual(["0001-made", "0002-broken"]);
  });

  it("go on where an earlier Sluice, which kept a table of another form, has begun", async () => {
    await using here = await world();
    await here.add("0001-made.sql", "create table made (n int)");
    await here.add("0002-kept.sql", "create table kept (n int)");
    await here.add("0003-new.sql", "insert into kept values (3)");
    await here.owner.query(`
      create table made (n int); create table kept (n int);
      create table steps (name text primary key, applied_at timestamptz not null default now());
      insert into steps (name) values ('0002-kept.sql'), ('0001-made.sql')`);
    await Promise.all([here.open().check(), here.open().check()]);
    await here.open().check();
    expect(await applied(here)).toEqual(["0001-made", "0002-kept", "0003-new"]);
    expect((await here.owner.query("select n from kept")).rows).toEqual([{ n: 3 }]);
  });

  it("of a newer Sluice are refused, by who migrates and by who only looks", async () => {
    await using here = await world();
    await here.add("0001-made.sql", "create table made (n int)");
    await here.open().check();
    await here.owner.query("insert into steps (name, run_on) values ('0002-later', now())");
    const said = "the database is newer than this Sluice, which does not know its migration 0002-later";
    await expect(here.open().check()).rejects.toThrow(said);
    await expect(here.open(false).check()).rejects.toThrow(said);
  });

  it("are not applied by who may only look: what is missing is told with what to do, until it is there", async () => {
    await using here = await world();
    await here.add("0001-made.sql", "create table made (n int)");
    const looking = here.open(false);
    await expect(looking.check()).rejects.toThrow("lacks 0001-made: let its owner run `sluice audit migrate`");
    await here.open().check();
    await looking.check();
    await here.add("0002-more.sql", "create table more (n int)");
    await expect(here.open(false).check()).rejects.toThrow("lacks 0002-more");
  });
});
