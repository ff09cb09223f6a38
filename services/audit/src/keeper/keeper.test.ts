import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { loadState, prepareDatabases, startPostgres, type DatabaseUrls, type Part } from "@sluice/launcher";
import pg from "pg";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { erase, find } from "./erase.ts";
import { Keeper, lockLog } from "./keeper.ts";
import { forgetUnused, prunable, prune } from "./prune.ts";

const scope = new AsyncDisposableStack();
const dayMs = 86_400_000;
let dir: string;
let postgres: Part;
let urls: DatabaseUrls;
let owner: pg.Client;
let keeper: Keeper;

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), "sluice-keeper-"));
  scope.defer(() => rm(dir, { recursive: true, force: true }));
  postgres = scope.use(
    await startPostgres({ dataDir: join(dir, "postgres"), env: { ...process.env, DATABASE_URL: "" } }),
  );
  urls = await prepareDatabases(postgres, await loadState(dir));
  owner = await connected(postgres.url);
  keeper = scope.use(new Keeper({ connectionString: urls.keeper, ssl: false }));
});
afterAll(() => scope.disposeAsync());

async function connected(url: string): Promise<pg.Client> {
  const client = new pg.Client(url);
  await client.connect();
  scope.defer(() => client.end());
  return client;
}

const person = (log: string, value: string) =>
  owner.query(
    `insert into audit_subjects (log, value, commitment, salt) values ($1, $2, sha256(convert_to($1 || $2, 'utf8')), sha256('salt'))`,
    [log, value],
  );

interface Calls {
  readonly log: string;
  readonly from: number;
  readonly count: number;
  readonly agent: string;
  readonly daysAgo?: number;
}

/** Calls, each with an intent of the agent and an outcome, both with captured fields, and kept content: three leaves each. */
async function addCalls({ log, from, count, agent, daysAgo = 0 }: Calls, client = owner): Promise<void> {
  await client.query(
    `with leaf as (select n, n / 3 as call, (array['i', 'o', 'c'])[n % 3 + 1] as part from generate_series($2::int, $2 + $3 * 3 - 1) as n),
      events as (
        insert into audit_events (event_id, log, leaf_index, leaf_hash, schema, kind, call, at, stored_at, emitter, tenant, agent_id, auth,
          label, protocol, era, http, path, method, server, trace, status, decision, duration_ms, part, content)
        select $1 || call || '.' || part, $1, n, sha256('leaf'), 1, (array['intent', 'outcome', 'content'])[n % 3 + 1], $1 || call,
          now() - $5 * interval '1 day', now(), 'here', $1, case part when 'i' then sha256(convert_to($1 || $4, 'utf8')) end, 'apiKey',
          'mcp_proxy', 'mcp', 'modern', 'POST', '/mcp', 'tools/call', 'main', 't', 200, 'allow', 1, 'request', sha256('content') from leaf),
      captured as (insert into audit_captured select $1 || call || '.' || part, sha256('salt'), '{"city": "Turin"}' from leaf where part <> 'c')
     insert into audit_content select $1 || call || '.' || part, sha256('salt'), 'said' from leaf where part = 'c'`,
    [log, from, count, agent, daysAgo],
  );
}

const rows = async <Row extends pg.QueryResultRow>(text: string, values: unknown[] = []) =>
  (await owner.query<Row>(text, values)).rows;
const countOf = async (table: string, log: string) =>
  Number((await rows<{ n: string }>(`select count(*) as n from ${table} where event_id like $1`, [`${log}%`]))[0]?.n);

describe("forgetting somebody", () => {
  it("deletes value, salt, captured fields and content of their calls, and nothing of others' or of other tenants", async () => {
    for (const log of ["acme", "beta"]) {
      for (const name of ["ada", "bob"]) await person(log, name);
      await addCalls({ log, from: 0, count: 2, agent: "ada" });
      await addCalls({ log, from: 6, count: 1, agent: "bob" });
    }
    const found = await keeper.use((client) => find(client, "acme", { value: "ada" }));
    expect(found).toMatchObject({ events: 2, captured: 4, content: 2 });
    expect(await keeper.use((client) => find(client, "acme", { value: "eve" }))).toBeUndefined();
    const { commitment = "" } = found ?? {};
    expect(await keeper.use((client) => erase(client, "acme", commitment))).toEqual({
      events: 2,
      captured: 4,
      content: 2,
    });
    expect(await keeper.use((client) => find(client, "acme", { commitment }))).toBeUndefined();
    expect(await rows("select log, value from audit_subjects order by log, value")).toEqual([
      { log: "acme", value: "bob" },
      { log: "beta", value: "ada" },
      { log: "beta", value: "bob" },
    ]);
    expect(await rows("select distinct agent_id, captured from audit_calls where tenant = 'acme' order by 1")).toEqual([
      { agent_id: "bob", captured: { city: "Turin" } },
      { agent_id: `erased-${commitment.slice(0, 12)}`, captured: {} },
    ]);
    expect(await countOf("audit_events", "acme")).toBe(9);
    expect([await countOf("audit_content", "acme"), await countOf("audit_content", "beta")]).toEqual([1, 3]);
    expect([await countOf("audit_captured", "acme"), await countOf("audit_captured", "beta")]).toEqual([2, 6]);
  });

  it("takes along what is stored while it is done", async () => {
    await person("race", "ada");
    await addCalls({ log: "race", from: 0, count: 1, agent: "ada" });
    const { commitment = "" } = (await keeper.use((client) => find(client, "race", { value: "ada" }))) ?? {};
    const writer = await connected(postgres.url);
    await writer.query("begin");
    await writer.query(lockLog, ["race"]);
    const erasing = keeper.use((client) => erase(client, "race", commitment));
    const waits = "select from pg_locks where locktype = 'advisory' and not granted";
    await vi.waitFor(async () => expect(await rows(waits)).toHaveLength(1));
    await addCalls({ log: "race", from: 3, count: 1, agent: "ada" }, writer);
    await writer.query("commit");
    expect(await erasing).toEqual({ events: 2, captured: 4, content: 2 });
    expect(await countOf("audit_captured", "race")).toBe(0);
  });

  it("is done again for what calls left that were under way, by what stands for them now", async () => {
    await person("late", "ada");
    await addCalls({ log: "late", from: 0, count: 2, agent: "ada" });
    const { commitment = "" } = (await keeper.use((client) => find(client, "late", { value: "ada" }))) ?? {};
    await keeper.use((client) => erase(client, "late", commitment));
    const mark = `erased-${commitment.slice(0, 12)}`;
    expect(await keeper.use((client) => find(client, "late", { value: mark }))).toBeUndefined();
    await owner.query(`insert into audit_captured values ('late1.o', sha256('salt'), '{"city": "Turin"}')`);
    const left = { events: 2, captured: 1, content: 0, commitment };
    expect(await keeper.use((client) => find(client, "late", { value: mark }))).toEqual(left);
    expect(await keeper.use((client) => find(client, "late", { commitment }))).toEqual(left);
    expect(await keeper.use((client) => find(client, "acme", { value: mark }))).toBeUndefined();
    await keeper.use((client) => erase(client, "late", commitment));
    expect(await countOf("audit_captured", "late")).toBe(0);
  });
});

describe("retention", () => {
  const before = () => new Date(Date.now() - 10 * dayMs);
  const range = (log: string) => keeper.use((client) => prunable(client, log, before()));
  const tiles = (log: string, count: number) =>
    owner.query(
      `insert into audit_tiles select $1, 0, tile, decode(repeat('00', 8192), 'hex') from generate_series(0, $2 - 1) as tile`,
      [log, count],
    );
  const checkpoint = (log: string, size: number) =>
    owner.query("insert into audit_checkpoints values ($1, $2, sha256('root'), now(), '')", [log, size]);

  it("takes whole tiles from the front, as far as a checkpoint goes and all of their events are old", async () => {
    for (const name of ["ada", "bob"]) await person("old", name);
    await addCalls({ log: "old", from: 0, count: 300, agent: "ada", daysAgo: 20 });
    await tiles("old", 3);
    expect(await range("old")).toBeUndefined();
    await checkpoint("old", 511);
    expect(await range("old")).toEqual({ from: 0, to: 256 });
    await checkpoint("old", 900);
    await addCalls({ log: "old", from: 900, count: 50, agent: "bob" });
    expect(await range("old")).toEqual({ from: 0, to: 768 });
    await owner.query("alter table audit_events disable trigger all");
    await owner.query("update audit_events set at = now() where log = 'old' and leaf_index = 300");
    await owner.query("alter table audit_events enable trigger all");
    expect(await range("old")).toEqual({ from: 0, to: 256 });
    expect(await range("acme")).toBeUndefined();
  });

  it("removes events with what was kept beside them, leaves the tiles, and forgets whom nothing speaks of any more", async () => {
    expect(await keeper.use((client) => prune(client, "old", { from: 0, to: 256 }))).toBe(256);
    expect(await range("old")).toBeUndefined();
    expect(await rows("select min(leaf_index)::int as first from audit_events where log = 'old'")).toEqual([
      { first: 256 },
    ]);
    expect(await countOf("audit_content", "old")).toBe(350 - 85);
    expect(await rows("select tile_index::int from audit_tiles where log = 'old' order by 1")).toHaveLength(3);
    expect(await keeper.use((client) => forgetUnused(client, "old"))).toBe(0);
    await keeper.use((client) => prune(client, "old", { from: 256, to: 900 }));
    expect(await keeper.use((client) => forgetUnused(client, "old"))).toBe(1);
    expect(await rows("select value from audit_subjects where log = 'old'")).toEqual([{ value: "bob" }]);
  });
});
