import { execFile } from "node:child_process";
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { startPostgres, type Part } from "@sluice/launcher";
import { StoredTrail } from "@sluice/testing";
import { asyncBufferFromFile, parquetReadObjects } from "hyparquet";
import pg from "pg";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { callColumns } from "./columns.ts";

const sluice = join(import.meta.dirname, "../../../dist/main.js");
const { DATABASE_URL: _, ...env } = process.env;
const execute = promisify(execFile);

let dir: string;
let postgres: Part;
let database: pg.Client;

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), "sluice-export-"));
  postgres = await startPostgres({ dataDir: join(dir, "postgres"), env: { ...env, DATABASE_URL: "" } });
  database = new pg.Client({ connectionString: postgres.url });
  await database.connect();
  const trail = new StoredTrail(database);
  await trail.create();
  await writeFile(join(dir, "run.json"), JSON.stringify({ readerDatabaseUrl: postgres.url }), { mode: 0o600 });
  const at = (minute: number) => new Date(Date.UTC(2026, 9, 1, 0, minute));
  await trail.call("c-1", at(1), {
    owner: 'the "best", ltd',
    intent: { scopes: ["read", "write"], target: "line\r\nbreak" },
  });
  await trail.captured("c-1.i", { user: "=1+1" });
  for (const [index, target] of ["=cmd|' /C calc'!A0", "+1", "-1", "@SUM(1)", "\t=1"].entries())
    await trail.call(`c-${index + 2}`, at(index + 2), { intent: { target } });
  await trail.call("c-beta", at(9), { tenant: "beta", outcome: null });
}, 120_000);

afterAll(async () => {
  await database?.end();
  await postgres?.stop();
  await rm(dir, { recursive: true, force: true });
});

async function run(...args: string[]): Promise<{ stdout: string; stderr: string }> {
  return execute(process.execPath, [sluice, "audit", ...args, "--data", dir], { env });
}

const out = (name: string) => join(dir, name);

describe("sluice audit export", () => {
  test("has every column of audit_calls", async () => {
    const { rows } = await database.query<{ name: string }>(
      "select column_name as name from information_schema.columns where table_name = 'audit_calls'",
    );
    expect(callColumns.map(([name]) => name).toSorted()).toEqual(rows.map(({ name }) => name).toSorted());
  });

  test("csv is RFC 4180, the oldest call first, and nothing in it is a spreadsheet's formula", async () => {
    const { stderr } = await run("export", "--format", "csv", "--out", out("calls.csv"), "--tenant", "acme");
    expect(stderr).toBe(`6 calls written to ${out("calls.csv")}\n`);
    const text = await readFile(out("calls.csv"), "utf8");
    const [header, ...lines] = text.split(/(?<!line)\r\n/);
    expect(header).toBe(callColumns.map(([name]) => name).join(","));
    expect(lines[0]).toMatch(/^c-1,2026-10-01T00:01:00\.000Z,acme,/);
    expect(lines[0]).toContain(',"the ""best"", ltd",');
    expect(lines[0]).toContain(',"[""read"",""write""]",');
    expect(lines[0]).toContain(',"line\r\nbreak",');
    expect(lines[0]).toContain('"{""user"":""=1+1""}"');
    expect(lines.slice(1, 6).map((line) => /tools\/call,"?(.*?)"?,,main/.exec(line)?.[1])).toEqual([
      ...["'=cmd|' /C calc'!A0", "'+1", "'-1", "'@SUM(1)", "'\t=1"],
    ]);
    expect(lines.slice(6)).toEqual([""]);
  });

  test("parquet has each call with the types of its columns", async () => {
    await run("export", "--format", "parquet", "--out", out("calls.parquet"));
    const rows = await parquetReadObjects({ file: await asyncBufferFromFile(out("calls.parquet")) });
    expect(rows.map((row) => row["call"])).toEqual(["c-1", "c-2", "c-3", "c-4", "c-5", "c-6", "c-beta"]);
    expect(rows[0]).toMatchObject({
      ...{ at: new Date("2026-10-01T00:01:00.000Z"), status: 200n, duration_ms: 1.5, request_bytes: 10n },
      ...{ scopes: ["read", "write"], captured: { user: "=1+1" }, agent_id: "sentinel-1", state: "done" },
    });
    expect(rows[1]).toMatchObject({ target: "=cmd|' /C calc'!A0" });
    expect(rows.at(-1)).toMatchObject({ state: "under way", finished_at: null, status: null });
  });

  test("takes a tenant and a time, and none that fit make a file too", async () => {
    const { stdout } = await run("export", "--format", "csv", "--out", "-", "--since", "2026-10-01T00:06:00Z");
    expect(stdout.split("\r\n").map((line) => line.split(",")[0])).toEqual(["call", "c-6", "c-beta", ""]);
    for (const format of ["csv", "parquet"])
      await run("export", "--format", format, "--out", out(`none.${format}`), "--tenant", "nobody");
    expect(await parquetReadObjects({ file: await asyncBufferFromFile(out("none.parquet")) })).toEqual([]);
  });

  test("keeps a file that is there unless it is told otherwise, and leaves nothing where it fails", async () => {
    await writeFile(out("kept"), "mine");
    await expect(run("export", "--format", "csv", "--out", out("kept"))).rejects.toMatchObject({
      stderr: expect.stringContaining("--force"),
    });
    expect(await readFile(out("kept"), "utf8")).toBe("mine");
    await run("export", "--format", "csv", "--out", out("kept"), "--force");
    expect(await readFile(out("kept"), "utf8")).toMatch(/^call,at,/);
    await expect(run("export", "--format", "jsonl", "--out", out("cut"), "--since", "1h")).rejects.toMatchObject({
      stderr: expect.stringContaining("proves nothing"),
    });
    await expect(run("export", "--format", "csv", "--out", out("no/where"))).rejects.toMatchObject({
      stderr: expect.stringContaining("can't be written (ENOENT)"),
    });
    expect((await readdir(dir)).filter((name) => name.endsWith(".part") || name === "cut")).toEqual([]);
  });

  test("jsonl is the verifiable export", async () => {
    await run("export", "--format", "jsonl", "--out", out("trail.jsonl"), "--tenant", "beta");
    const lines = (await readFile(out("trail.jsonl"), "utf8")).trimEnd().split("\n");
    expect(lines.map((line) => JSON.parse(line) as unknown)).toMatchObject([
      { log: "beta", event: { event_id: "c-beta.i", agent_id: "sentinel-1" }, sealed: { agent_id: {} } },
    ]);
  });
});

describe("sluice audit query", () => {
  test("prints what fits and says how to go on", async () => {
    const first = await run("query", "--agent", "sentinel-1", "--tenant", "acme", "--limit", "4");
    expect(first.stdout.split("\n")).toHaveLength(6);
    const cursor = /--cursor (\S+)\n$/.exec(first.stderr)?.[1] ?? "";
    const rest = await run("query", "--tenant", "acme", "--cursor", cursor, "--json");
    expect(
      rest.stdout
        .trimEnd()
        .split("\n")
        .map((line) => (JSON.parse(line) as { call: string }).call),
    ).toEqual([...["c-2", "c-1"]]);
    expect(rest.stderr).toBe("");
    expect((await run("query", "--all", "--order", "oldest")).stdout).toMatch(/ c-1 [^]* c-beta /);
  });

  test.each([
    [["--operator", "alice"], "--operator says nothing about calls"],
    [["--actions", "--status", "200"], "--status says nothing about actions"],
    [["--status", "2xx"], "--status"],
    [["--decision", "maybe"], "--decision"],
    [["--state", "lost"], "--state"],
    [["--cursor", "made-up"], "cursor"],
    [["--since", "soon"], "such as 15m"],
    [["--actions", "--refusals"], "give one of them"],
    [["--limit", "x"], "whole number"],
  ])("%j is refused with what is wrong", async (args, reason) => {
    await expect(run("query", ...args)).rejects.toMatchObject({ stderr: expect.stringContaining(reason) });
  });
});
