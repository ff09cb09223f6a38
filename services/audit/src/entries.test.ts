import { hash, randomBytes } from "node:crypto";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { startPostgres } from "@sluice/launcher";
import pg from "pg";
import { afterAll, beforeAll, expect, test } from "vitest";
import { readEntries } from "./entries.ts";

const scope = new AsyncDisposableStack();
let database: pg.Pool;

beforeAll(async () => {
  const dataDir = await mkdtemp(join(tmpdir(), "sluice-audit-entries-"));
  scope.defer(() => rm(dataDir, { recursive: true, force: true }));
  const postgres = await startPostgres({ dataDir, env: { ...process.env, DATABASE_URL: "" } });
  scope.defer(() => postgres.stop());
  database = scope.adopt(new pg.Pool({ connectionString: postgres.url, options: "-c timezone=Asia/Kolkata" }), (pool) =>
    pool.end(),
  );
  database.on("error", () => {});
  await database.query(await readFile(join(import.meta.dirname, "../migrations/0001-trail.sql"), "utf8"));
}, 120_000);

afterAll(() => scope.disposeAsync());

const leaf = Buffer.alloc(32, 7);
const common = { leaf_hash: leaf, schema: 1, at: "2026-11-21T10:00:00.123456Z", stored_at: "2026-11-21T10:00:01Z" };

async function insert(table: string, row: Readonly<Record<string, unknown>>): Promise<void> {
  const marks = Object.keys(row).map((_, index) => `$${index + 1}`);
  await database.query(
    `insert into ${table} (${Object.keys(row).join(", ")}) values (${marks.join(", ")})`,
    Object.values(row),
  );
}

async function seal(log: string, value: string): Promise<{ commitment: Buffer; salt: Buffer }> {
  const salt = randomBytes(32);
  const commitment = hash("sha256", Buffer.concat([salt, Buffer.from(value)]), "buffer");
  await insert("audit_subjects", { commitment, log, value, salt });
  return { commitment, salt };
}

test("A36: an entry has all that its row has, each value as the record of its leaf has it, and the salts of what is sealed", async () => {
  const agent = await seal("acme", "agent-1");
  const captured = { salt: randomBytes(32), fields: { order: [1, "ü"] } };
  const mark = Buffer.alloc(32, 9);
  await insert("audit_events", {
    ...{ ...common, event_id: "c1.i", log: "acme", leaf_index: 5, kind: "intent", call: "c1", emitter: "i1", seq: 3 },
    ...{
      tenant: "acme",
      agent_id: agent.commitment,
      agent_name: mark,
      captured: mark,
      auth: "apiKey",
      label: "mcp_proxy",
    },
    ...{ protocol: "mcp", era: "modern", http: "POST", path: "/mcp", method: "tools/call", server: "main", trace: "t" },
    ...{ scopes: ["a b", 'c"d'], resumes: { method: "tools/list" }, arguments_hash: mark, is_error: false },
    ...{ duration_ms: 0.1, bytes: 2 ** 40, content: mark },
  });
  await insert("audit_captured", { event_id: "c1.i", ...captured });
  const [entry, ...others] = await readEntries(database, { log: "acme", from: 0, limit: 10 });
  expect(others).toEqual([]);
  expect(entry).toEqual({
    log: "acme",
    index: 5,
    event: {
      ...{ event_id: "c1.i", log: "acme", kind: "intent", call: "c1", emitter: "i1", seq: 3, schema: 1 },
      ...{ at: "2026-11-21T10:00:00.123456Z", stored_at: "2026-11-21T10:00:01.000Z", tenant: "acme" },
      ...{ agent_id: "agent-1", captured: { order: [1, "ü"] }, auth: "apiKey", label: "mcp_proxy" },
      ...{
        protocol: "mcp",
        era: "modern",
        http: "POST",
        path: "/mcp",
        method: "tools/call",
        server: "main",
        trace: "t",
      },
      ...{ scopes: ["a b", 'c"d'], resumes: { method: "tools/list" }, arguments_hash: mark.toString("hex") },
      ...{ is_error: false, duration_ms: 0.1, bytes: 2 ** 40 },
    },
    sealed: {
      agent_id: { salt: agent.salt.toString("hex") },
      agent_name: { commitment: mark.toString("hex") },
      captured: { salt: captured.salt.toString("hex") },
      content: { commitment: mark.toString("hex") },
    },
  });
});

test("entries come in the order of their log, from an index on, and none of another log", async () => {
  const event = { ...common, kind: "emitter", emitter: "e1", service: "egress", word: "started" };
  for (const index of [2, 0, 1])
    for (const log of ["beta", "gamma"])
      await insert("audit_events", { ...event, event_id: `${log}-${index}`, log, leaf_index: index });
  const found = await readEntries(database, { log: "beta", from: 1, limit: 1 });
  expect(found.map(({ log, index }) => [log, index])).toEqual([["beta", 1]]);
  expect(await readEntries(database, { log: "beta", from: 3, limit: 10 })).toEqual([]);
});
