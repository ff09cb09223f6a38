import { createHash, randomBytes } from "node:crypto";
import { chmod, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import pg from "pg";
import { stringify } from "yaml";
import { startHouse, type House, type HouseOptions } from "@sluice/launcher";

/** Tenant → what stands under it in tenants.yaml, but for agents, which get keys made here. */
export interface TestTenant {
  /** Ids of agents; each gets one random key. */
  readonly agents: readonly string[];
  readonly [field: string]: unknown;
}

export interface TestHouseOptions extends Partial<Omit<HouseOptions, "confDir" | "dataDir">> {
  readonly tenants: Readonly<Record<string, TestTenant>>;
}

/** Sluice whole, on real NATS, Redis and Postgres, in a directory of its own. */
export interface TestHouse extends AsyncDisposable {
  readonly house: House;
  /** `tenant/agent` → API key. */
  readonly keys: Readonly<Record<string, string>>;
  readonly confDir: string;
  readonly dataDir: string;
  key(agent: string, tenant?: string): string;
  /** Writes a new tenants.yaml, keys kept. */
  configure(tenants: TestHouseOptions["tenants"]): Promise<void>;
  /** Runs a query on the audit database. */
  query<Row extends pg.QueryResultRow>(sql: string, values?: unknown[]): Promise<Row[]>;
  /** Runs a query on the database of the session manager, as its login. */
  queryTasks<Row extends pg.QueryResultRow>(sql: string, values?: unknown[]): Promise<Row[]>;
  /** All rows of all tables in Postgres, for canary searches: one line each, binary columns as Latin-1 beside their hex. */
  stored(): Promise<string>;
  /** All the logs of all the processes, for canary searches. */
  logs(): Promise<string>;
}

export async function startTestHouse({ tenants, ...options }: TestHouseOptions): Promise<TestHouse> {
  const root = await mkdtemp(join(tmpdir(), "sluice-test-"));
  await chmod(root, 0o755);
  const confDir = root;
  const dataDir = join(root, "data");
  const keys: Record<string, string> = {};
  const configure = (wanted: TestHouseOptions["tenants"]) =>
    writeFile(join(confDir, "tenants.yaml"), tenantsYaml(wanted, keys));
  await configure(tenants);
  const house = await startHouse({ confDir, dataDir, ...options });
  const database = poolOf(house.parts.postgres.url);
  const tasks = poolOf(house.databases["session-manager"]);
  return {
    house,
    keys,
    confDir,
    dataDir,
    key: (agent, tenant = Object.keys(tenants)[0] ?? "") => {
      const key = keys[`${tenant}/${agent}`];
      if (key === undefined) throw new Error(`no agent ${agent} in tenant ${tenant}`);
      return key;
    },
    configure,
    query: async (sql, values) => (await database.query(sql, values)).rows as never,
    queryTasks: async (sql, values) => (await tasks.query(sql, values)).rows as never,
    stored: () => storedIn(house.parts.postgres.url),
    logs: async () => {
      const dir = join(dataDir, "logs");
      const texts = await Promise.all((await readdir(dir)).map((file) => readFile(join(dir, file), "utf8")));
      return texts.join("\n");
    },
    [Symbol.asyncDispose]: async () => {
      await Promise.all([database.end(), tasks.end()]);
      await house[Symbol.asyncDispose]();
      await rm(root, { recursive: true, force: true });
    },
  };
}

function poolOf(connectionString: string): pg.Pool {
  const pool = new pg.Pool({ connectionString, max: 2 });
  pool.on("error", () => {});
  return pool;
}

/** As a superuser, of every database there is. */
async function storedIn(url: string): Promise<string> {
  const databases = await asOwner(url, async (client) => {
    const { rows } = await client.query<{ name: string }>(
      "select datname as name from pg_database where not datistemplate",
    );
    return rows.map(({ name }) => name);
  });
  const texts: string[] = [];
  for (const name of databases)
    texts.push(...(await asOwner(Object.assign(new URL(url), { pathname: name }).href, rowsIn)));
  const text = texts.join("\n");
  const binary = text.matchAll(/\\x([0-9a-f]+)/g);
  return [text, ...Array.from(binary, ([, hex = ""]) => Buffer.from(hex, "hex").toString("latin1"))].join("\n");
}

async function asOwner<T>(connectionString: string, work: (client: pg.Client) => Promise<T>): Promise<T> {
  const client = new pg.Client({ connectionString });
  await client.connect();
  return await work(client).finally(() => client.end());
}

async function rowsIn(client: pg.Client): Promise<string[]> {
  const { rows: tables } = await client.query<{ name: string }>(
    `select format('%I.%I', table_schema, table_name) as name from information_schema.tables
     where table_type = 'BASE TABLE' and table_schema not in ('pg_catalog', 'information_schema')`,
  );
  const texts: string[] = [];
  for (const { name } of tables) {
    const { rows } = await client.query<{ text: string }>(`select t::text as text from ${name} t`);
    texts.push(...rows.map(({ text }) => text));
  }
  return texts;
}

function tenantsYaml(tenants: TestHouseOptions["tenants"], keys: Record<string, string>): string {
  const entries = Object.entries(tenants).map(([tenant, { agents, ...rest }]) => [
    tenant,
    {
      ...rest,
      agents: agents.map((id) => {
        const key = (keys[`${tenant}/${id}`] ??= `slk_${randomBytes(32).toString("base64url")}`);
        return {
          id,
          name: `Agent ${id}`,
          owner: "tests",
          apiKeys: [`sha256:${createHash("sha256").update(key).digest("hex")}`],
        };
      }),
    },
  ]);
  return stringify({ tenants: Object.fromEntries(entries) });
}
