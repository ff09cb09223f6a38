import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { auditSchema, connect, migrate } from "@sluice/schema";
import { FakeUpstream, startTestHouse, until, type TestHouse } from "@sluice/testing";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { exportEntries } from "../../cli/src/audit/export-entries.ts";
import { readKey } from "../../cli/src/audit/verify/note.ts";
import type { Problem } from "../../cli/src/audit/verify/problem.ts";
import type { Outcome } from "../../cli/src/audit/verify/report.ts";
import { verifyDatabase, verifyExport } from "../../cli/src/audit/verify/verify.ts";
import { as, send, toolCall } from "./http.ts";

const cli = join(import.meta.dirname, "../../cli/bin/sluice.mjs");
const tables = ["events", "subjects", "captured", "content", "tiles", "heads", "checkpoints"].map(
  (name) => `audit_${name}`,
);
const stack = new AsyncDisposableStack();
let house: TestHouse;
let key: string;
let directory: string;
/** The tables of an hour before, so to speak, as JSON. */
let backup: ReadonlyMap<string, unknown>;
let databases = 0;

async function sluice(args: readonly string[], databaseUrl = ""): Promise<{ code: number; out: string; err: string }> {
  const { promise, resolve } = Promise.withResolvers<{ code: number; out: string; err: string }>();
  const env = { ...process.env, DATABASE_URL: databaseUrl };
  execFile(process.execPath, [cli, "audit", ...args], { env, maxBuffer: 1 << 26 }, (error, out, err) =>
    resolve({ code: error === null ? 0 : Number(error.code), out, err }),
  );
  return promise;
}

async function verify(databaseUrl: string, files: readonly string[] = []): Promise<Outcome> {
  const client = await connect(databaseUrl);
  const given = { keys: [readKey(key)], mustBeSigned: true, files, log: undefined, onProgress: () => {} };
  return verifyDatabase(given, client).finally(() => client.end());
}

async function calls(count: number): Promise<void> {
  const call = { headers: { ...as(house.key("a-1")) }, body: toolCall("echo", { text: "größe" }) };
  for (let done = 0; done < count; done += 20)
    await Promise.all(Array.from({ length: 20 }, () => send(`${house.house.of("ingress")[0]?.url}/mcp`, call)));
}

/** Until each log is signed to its end. */
async function allSigned(atLeast: number): Promise<void> {
  await until(
    `${atLeast} events that are signed`,
    async () => {
      const rows = await house.query<{ log: string; size: string; signed: string | null }>(
        "select log, max(size) as size, (select max(size) from audit_checkpoints c where c.log = h.log) as signed from audit_heads h group by log",
      );
      return rows.some(({ size }) => Number(size) >= atLeast) && rows.every(({ size, signed }) => size === signed);
    },
    60_000,
  );
}

async function dump(): Promise<ReadonlyMap<string, unknown>> {
  const texts = tables.map((table) => `(select coalesce(json_agg(t), '[]') from ${table} t) as ${table}`);
  const [row] = await house.query<Record<string, unknown>>(`select ${texts.join(", ")}`);
  return new Map(Object.entries(row as Record<string, unknown>));
}

/** A database with these tables. */
async function databaseOf(name: string, content: ReadonlyMap<string, unknown>): Promise<string> {
  await house.query(`create database ${name}`);
  const url = new URL(house.house.parts.postgres.url);
  url.pathname = `/${name}`;
  const client = await connect(url.href);
  await migrate(client, auditSchema);
  for (const [table, rows] of content)
    await client.query(`insert into ${table} select * from json_populate_recordset(null::${table}, $1)`, [
      JSON.stringify(rows),
    ]);
  await client.end();
  return url.href;
}

/** A copy of the signed trail after this SQL of the superuser, whom no trigger holds up. */
async function tampered(sql: string): Promise<Outcome> {
  return verify(await changedCopy(sql));
}

async function verifyExported(sql: string): Promise<Outcome> {
  const client = await connect(await changedCopy(sql));
  const given = { keys: [readKey(key)], mustBeSigned: true, files: [], log: undefined, onProgress: () => {} };
  return verifyExport(given, exportEntries(client, { content: true })).finally(() => client.end());
}

async function changedCopy(sql: string): Promise<string> {
  const name = `tampered_${(databases += 1)}`;
  await house.query(`create database ${name} template signed`);
  const url = new URL(house.house.parts.postgres.url);
  url.pathname = `/${name}`;
  const client = await connect(url.href);
  await client.query("set session_replication_role = replica");
  await client.query(sql).finally(() => client.end());
  return url.href;
}

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "sluice-verify-"));
  stack.defer(() => rm(directory, { recursive: true, force: true }));
  const upstream = stack.use(await FakeUpstream.start());
  house = stack.use(
    await startTestHouse({
      envOf: { signer: { SIGNER_INTERVAL_MS: "300" } },
      tenants: {
        acme: {
          agents: ["a-1"],
          mcp: { endpoints: [{ name: "main", url: upstream.url }] },
          accessRules: [{ agentPattern: "*", allowedTools: ["*"] }],
        },
      },
    }),
  );
  key = (
    JSON.parse(await readFile(join(house.dataDir, "state.json"), "utf8")) as { signerKey: { verifierKey: string } }
  ).signerKey.verifierKey;
  await calls(60);
  await allSigned(120);
  backup = await dump();
  await calls(140);
  await allSigned(400);
  await databaseOf("signed", await dump());
}, 300_000);
afterAll(() => stack.disposeAsync());

describe("the trail of a running gateway", () => {
  test("is found to be what was signed, by who may only read", async () => {
    const { code, out } = await sluice(["verify", "--data", house.dataDir]);
    expect(out).toContain("OK: up to the checkpoints named above these are the events that were signed");
    expect(code).toBe(0);
    expect(out).toMatch(/^acme: \d{3} events, root [0-9a-f]{64}\. Signed up to event \d{3} \(audit_checkpoints, on /m);
    const withoutKey = await sluice(["verify"], house.house.databases.reader);
    expect([withoutKey.code, withoutKey.out]).toEqual([0, expect.stringContaining("only inner consistency was shown")]);
  });

  test("fits the checkpoints that the signer put into a file, and what was proved of an event stays proved", async () => {
    expect(await tampered("select")).toMatchObject({ ok: true, shown: "signed", problems: [] });
    const proof = join(directory, "event.tlog-proof");
    const [intent] = await house.query<{ event_id: string }>(
      "select event_id from audit_events where kind = 'intent' and leaf_index > 300 limit 1",
    );
    expect(await sluice(["prove", intent?.event_id ?? "", "--out", proof, "--data", house.dataDir])).toMatchObject({
      code: 0,
    });
    expect(await sluice(["verify", "--proof", proof, "--key", key])).toMatchObject({ code: 0, err: "" });
    const text = await readFile(proof, "utf8");
    const [, extra = ""] = /^extra (.*)$/m.exec(text) ?? [];
    const other = Buffer.from(extra, "base64").toString().replace('"tools/call"', '"tools/list"');
    await writeFile(proof, text.replace(extra, Buffer.from(other).toString("base64")));
    const checked = await sluice(["verify", "--proof", proof, "--key", key]);
    expect([checked.code, checked.out]).toEqual([1, expect.stringContaining("not the one in that tree")]);
  });

  test("is exported with all that is needed to check it, and after retention too", async () => {
    const { problems, logs } = await verifyExported("select");
    expect(problems).toEqual([]);
    expect(logs.find(({ log }) => log === "acme")?.checkpoint?.isVerified).toBe(true);
    const pruned = await verifyExported("delete from audit_events where log = 'acme' and leaf_index < 256");
    expect(pruned.logs.find(({ log }) => log === "acme")?.pruned).toBe(256);
    expect(pruned.problems).toMatchObject([{ kind: "retention", index: 0, last: 255 }]);
  });

  test("can't be told of where nothing is, or the key is none", async () => {
    for (const args of [["--data", directory], ["--export", join(directory, "none")], ["--key", "none"], ["--unknown"]])
      expect((await sluice(["verify", ...args])).code).toBe(2);
  });
});

/** SQL of a superuser, and the first bad event that is named, in the log acme. */
const attacks: [string, string, Partial<Problem>][] = [
  [
    "an edit",
    "update audit_events set method = 'tools/list' where log = 'acme' and leaf_index = 77",
    { kind: "changed", index: 77 },
  ],
  [
    "an edit behind the last tile",
    "update audit_events set bytes = bytes + 1 where log = 'acme' and leaf_index = 300",
    { kind: "changed", index: 300 },
  ],
  [
    "a column that was set",
    "update audit_events set fault = 'x' where log = 'acme' and leaf_index = 5",
    { kind: "changed", index: 5 },
  ],
  [
    "a column that was emptied",
    "update audit_events set trace = 'x' where log = 'acme' and leaf_index = (select min(leaf_index) from audit_events where log = 'acme' and kind = 'intent')",
    { kind: "changed" },
  ],
  ["a deletion", "delete from audit_events where log = 'acme' and leaf_index = 100", { kind: "missing", index: 100 }],
  [
    "a deletion behind the last tile",
    "delete from audit_events where log = 'acme' and leaf_index = 310",
    { kind: "missing", index: 310 },
  ],
  [
    "a deletion at the front",
    "delete from audit_events where log = 'acme' and leaf_index < 256",
    { kind: "retention", index: 0, last: 255 },
  ],
  [
    "a deletion that was closed up",
    "delete from audit_events where log = 'acme' and leaf_index = 100; update audit_events set leaf_index = leaf_index + 99999 where log = 'acme' and leaf_index > 100; update audit_events set leaf_index = leaf_index - 100000 where log = 'acme' and leaf_index > 99999",
    { kind: "changed", index: 100 },
  ],
  [
    "a swap",
    "update audit_events set leaf_index = 1000000 where log = 'acme' and leaf_index = 20; update audit_events set leaf_index = 20 where log = 'acme' and leaf_index = 30; update audit_events set leaf_index = 30 where log = 'acme' and leaf_index = 1000000",
    { kind: "swapped", index: 20, last: 30 },
  ],
  ["a cut tail", "delete from audit_events where log = 'acme' and leaf_index >= 390", { kind: "cut", index: 390 }],
  [
    "a cut tail with its heads",
    "delete from audit_heads where log = 'acme' and size > 390; delete from audit_events where log = 'acme' and leaf_index >= (select max(size) from audit_heads where log = 'acme')",
    { kind: "cut" },
  ],
  [
    "a row put in twice",
    "alter table audit_events drop constraint audit_events_log_leaf_index_key; insert into audit_events select (r).* from (select json_populate_record(e, json_build_object('event_id', 'copy')) as r from audit_events e where log = 'acme' and leaf_index = 50) x",
    { kind: "duplicate", index: 50 },
  ],
  [
    "a row behind the tree",
    "insert into audit_events select (r).* from (select json_populate_record(e, json_build_object('event_id', 'copy', 'leaf_index', (select max(size) from audit_heads where log = 'acme'))) as r from audit_events e where log = 'acme' and leaf_index = 50) x",
    { kind: "outside" },
  ],
  [
    "a leaf hash",
    "update audit_events set leaf_hash = sha256('x') where log = 'acme' and leaf_index = 60",
    { kind: "leaf-hash", index: 60 },
  ],
  [
    "a tile",
    "update audit_tiles set hashes = set_byte(hashes, 70 * 32, get_byte(hashes, 70 * 32) # 1) where log = 'acme'",
    { kind: "tile", index: 70 },
  ],
  ["a tile that was deleted", "delete from audit_tiles where log = 'acme'", { kind: "tile", index: 0, last: 255 }],
  [
    "a subject",
    "update audit_subjects set value = 'somebody-else' where log = 'acme' and value = 'a-1'",
    { kind: "commitment", index: 0 },
  ],
  [
    "a salt",
    "update audit_subjects set salt = sha256(salt) where log = 'acme' and value = 'a-1'",
    { kind: "commitment", index: 0 },
  ],
  [
    "a checkpoint's note",
    "update audit_checkpoints set note = replace(note, 'acme', 'acmf') where log = 'acme'",
    { kind: "checkpoint" },
  ],
];

describe("A35: what a superuser does to the tables", () => {
  test.each(attacks)("%s makes the verifier fail and name the first bad event", async (_name, sql, expected) => {
    const { ok, problems } = await tampered(sql);
    expect(ok).toBe(false);
    expect(problems).toContainEqual(expect.objectContaining({ log: "acme", ...expected }));
    const first = problems.find(({ log, index }) => log === "acme" && index !== undefined);
    if (expected.index !== undefined) expect(first?.index).toBe(expected.index);
  });

  test("an edit with its leaf hash and heads made anew is found between the checkpoints that hold", async () => {
    const { problems } = await tampered(
      "update audit_events set method = 'x', leaf_hash = sha256('x') where log = 'acme' and leaf_index = 300; delete from audit_heads where log = 'acme' and size < (select max(size) from audit_heads where log = 'acme'); update audit_heads set root = sha256('y') where log = 'acme'",
    );
    expect(problems[0]).toMatchObject({ log: "acme" });
    expect(problems[0]?.index).toBeLessThanOrEqual(300);
  });

  test("an old backup is found out by the checkpoints that the signer put into a file", async () => {
    const url = await databaseOf("backup", backup);
    expect(await verify(url)).toMatchObject({ ok: true });
    const { problems, logs } = await verify(url, [join(house.dataDir, "checkpoints.jsonl")]);
    const size = logs.find(({ log }) => log === "acme")?.size;
    expect(problems.find(({ log }) => log === "acme")).toMatchObject({
      kind: "cut",
      index: size,
      text: expect.stringContaining("old backup") as string,
    });
  });
});
