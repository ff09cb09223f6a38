import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  mostBytesPerPage,
  pageQuestionSchema,
  type Paging,
  type TrailFilter,
  type TrailPage,
  type TrailView,
} from "@sluice/contracts";
import { startPostgres, type Part } from "@sluice/launcher";
import { StoredTrail, type StoredCall } from "@sluice/testing";
import pg from "pg";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { readCall, readContent } from "./call.ts";
import { readPage } from "./page.ts";

const { DATABASE_URL: _, ...env } = process.env;
const timeoutMs = 10_000;

let dir: string;
let postgres: Part;
let database: pg.Client;
let trail: StoredTrail;

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), "sluice-trail-"));
  postgres = await startPostgres({ dataDir: join(dir, "postgres"), env: { ...env, DATABASE_URL: "" } });
  database = new pg.Client({ connectionString: postgres.url });
  await database.connect();
  trail = new StoredTrail(database);
  await trail.create();
}, 120_000);

afterAll(async () => {
  await database?.end();
  await postgres?.stop();
  await rm(dir, { recursive: true, force: true });
});

const start = Date.parse("2026-11-01T00:00:00Z");
const minute = (number: number) => new Date(start + number * 60_000);

const call = (id: string, at: number, options: StoredCall = {}) =>
  trail.call(id, minute(at), { endedAt: minute(at + 1), ...options });

/** As it comes from the bus or the admin API: all of it is text at first. */
async function page<View extends TrailView>(
  view: View,
  filter: Partial<Record<keyof TrailFilter[View], unknown>>,
  paging: Partial<Paging> = {},
): Promise<TrailPage> {
  return readPage(database, pageQuestionSchema.parse({ view, filter, paging }), { timeoutMs });
}

const idsOf = ({ rows }: TrailPage) => rows.map((row) => row["call"] ?? row["action_id"] ?? row["fault"]);

describe("calls", () => {
  beforeAll(async () => {
    await call("c-1", 1, { owner: "payments", user: "alice", intent: { session_hash: "00112233aabbccdd" } });
    await call("c-2", 2, { agent: "alchemy-1", intent: { method: "tools/list", target: null } });
    await call("c-3", 3, { tenant: "beta", outcome: { status: 503, fault: "upstream_unavailable" } });
    await call("c-4", 4, { intent: { server: "*", target: "add" }, outcome: { upstream: "calculator" } });
    await call("c-5", 5, { outcome: { status: 403, decision: "deny", rule: "default", fault: "tool_access_denied" } });
    await call("c-6", 6, { outcome: null });
    await call("c-7", 7, { outcome: null });
    await trail.event("unknown", { event_id: "c-7.u", call: "c-7", log: "acme", at: minute(9) });
    await call("c-8", 8, { intent: { task: "task-1" } });
    await call("c-9", 9, { outcome: { task: "task-1" } });
  });

  test("come newest first, each with how it ended", async () => {
    const { rows, next } = await page("calls", {});
    expect(rows.map((row) => `${String(row["call"])} ${String(row["state"])}`)).toEqual([
      ...["c-9 done", "c-8 done", "c-7 outcome unknown", "c-6 under way", "c-5 done", "c-4 done"],
      ...["c-3 done", "c-2 done", "c-1 done"],
    ]);
    expect(rows.at(-1)).toMatchObject({ at: "2026-11-01T00:01:00.000Z", agent_id: "sentinel-1", request_bytes: 10 });
    expect(next).toBeUndefined();
    expect(idsOf(await page("calls", {}, { order: "oldest", limit: 2 }))).toEqual(["c-1", "c-2"]);
  });

  test.each([
    [{ tenant: "beta" }, ["c-3"]],
    [{ agent: "alchemy-1" }, ["c-2"]],
    [{ agent: "sentinel-1", tenant: "beta" }, ["c-3"]],
    [{ user: "alice" }, ["c-1"]],
    [{ owner: "payments" }, ["c-1"]],
    [{ server: "calculator" }, ["c-4"]],
    [{ server: "*" }, ["c-4"]],
    [{ server: "main", decision: "deny" }, ["c-5"]],
    [{ method: "tools/list" }, ["c-2"]],
    [{ target: "add" }, ["c-4"]],
    [{ decision: "deny" }, ["c-5"]],
    [{ status: "503" }, ["c-3"]],
    [{ fault: "tool_access_denied" }, ["c-5"]],
    [{ rule: "default" }, ["c-5"]],
    [{ session: "00112233aabbccdd" }, ["c-1"]],
    [{ trace: "trace-c-4" }, ["c-4"]],
    [{ task: "task-1" }, ["c-9", "c-8"]],
    [{ state: "under-way" }, ["c-6"]],
    [{ state: "outcome-unknown" }, ["c-7"]],
    [{ state: "done", agent: "alchemy-1" }, ["c-2"]],
    [{ since: "2026-11-01T00:08:00Z" }, ["c-9", "c-8"]],
    [{ until: "2026-11-01T01:02:00+01:00" }, ["c-1"]],
    [{ tenant: "acme", agent: "alchemy-1", method: "tools/call" }, []],
  ])("that fit %j", async (filter, ids) => {
    expect(idsOf(await page("calls", filter))).toEqual(ids);
  });

  test.each([
    "' or true --",
    "%",
    "_",
    "$1",
    "\\",
    "?",
    "tools/call; drop table audit_events",
    "\u202e",
    "💥".repeat(32),
  ])("a hostile value is compared and nothing else: %s", async (value) => {
    const filters = ["tenant", "agent", "user", "owner", "server", "method", "target", "fault", "rule", "session"];
    for (const name of [...filters, "trace", "task"]) expect(idsOf(await page("calls", { [name]: value }))).toEqual([]);
    expect((await page("calls", {})).rows).toHaveLength(9);
  });

  test.each(["", "x", "bnVsbA", "WyIxIiwiMSJd", "e30", Buffer.from('["1","1; select 1","a"]').toString("base64url")])(
    "a cursor of somebody's own making is refused: %j",
    async (cursor) => {
      await expect(page("calls", {}, { cursor })).rejects.toThrow(/cursor/);
    },
  );

  test("a forgotten agent's are found by what the trail shows instead", async () => {
    await call("forgotten", 0, { tenant: "gamma", agent: "mallory" });
    await database.query("delete from audit_subjects where value = 'mallory'");
    const [row] = (await page("calls", { tenant: "gamma" })).rows;
    expect(row?.["agent_id"]).toMatch(/^erased-[0-9a-f]{12}$/);
    expect(idsOf(await page("calls", { agent: row?.["agent_id"] }))).toEqual(["forgotten"]);
    expect(idsOf(await page("calls", { agent: "mallory" }))).toEqual([]);
  });
});

/** Every page from the first, with something done before each further one. */
async function allPages(
  ask: (cursor?: string) => Promise<TrailPage>,
  between: (number: number) => Promise<void> = async () => {},
): Promise<TrailPage[]> {
  const pages = [await ask()];
  for (let next = pages[0]?.next; next !== undefined; next = pages.at(-1)?.next) {
    await between(pages.length);
    pages.push(await ask(next));
  }
  return pages;
}

describe("a cursor", () => {
  test("tells every row once, though others come in and many have the same time", async () => {
    const expected: string[] = [];
    for (let number = 0; number < 40; number++) {
      const id = `same-${String(number).padStart(2, "0")}`;
      await call(id, Math.floor(number / 10), { tenant: "delta", intent: { trace: "delta" } });
      expected.unshift(id);
    }
    const ask = (order: Paging["order"]) => (cursor?: string) =>
      page("calls", { tenant: "delta" }, { limit: 7, order, ...(cursor !== undefined && { cursor }) });
    const newest = await allPages(ask("newest"), (number) =>
      call(`later-${number}`, 100 + number, { tenant: "delta" }),
    );
    expect(newest.flatMap(idsOf)).toEqual(expected);
    expect(newest.map(({ rows }) => rows.length)).toEqual([7, 7, 7, 7, 7, 5]);
    const oldest = await allPages(ask("oldest"));
    expect(oldest.flatMap(idsOf)).toEqual([...expected.toReversed(), ...[1, 2, 3, 4, 5].map((at) => `later-${at}`)]);
  });
});

describe("a page", () => {
  test("fits a message on the bus however large rows are, and no row is left out", async () => {
    for (let number = 0; number < 12; number++) {
      const id = `large-${number}`;
      await call(id, number, { tenant: "large" });
      await trail.captured(`${id}.i`, { text: "x".repeat(300_000) });
    }
    await trail.captured("large-5.o", { more: "y".repeat(900_000) });
    const pages = await allPages((cursor) =>
      page("calls", { tenant: "large" }, { limit: 1_000, ...(cursor !== undefined && { cursor }) }),
    );
    for (const one of pages) expect(JSON.stringify(one).length).toBeLessThan(mostBytesPerPage + 1_024);
    const rows = pages.flatMap((one) => one.rows);
    expect(rows.map((row) => row["call"])).toEqual(Array.from({ length: 12 }, (_, index) => `large-${11 - index}`));
    expect(rows[6]).toMatchObject({ call: "large-5", captured: null, captured_bytes: 1_200_021 });
    expect(rows[0]).toMatchObject({ captured: { text: "x".repeat(300_000) } });
  });
});

describe("what is no call", () => {
  test("is found in views of its own", async () => {
    const deed = { log: "_gateway", action: "keys.create", operator: "alice", call: "a-1" };
    await trail.event("action", { ...deed, event_id: "a-1.b", at: minute(1), result: "begun" });
    await trail.event("action", { ...deed, event_id: "a-1.e", at: minute(2), result: "failed", fault: "conflict" });
    await trail.event("action", { ...deed, event_id: "a-2.b", call: "a-2", at: minute(3), result: "begun" });
    const refusal = { log: "_gateway", status: 401, fault: "unauthorized", count: 3, until: minute(2) };
    await trail.event("refusals", {
      ...refusal,
      event_id: "r-1",
      at: minute(1),
      peer: await trail.person("_gateway", "192.0.2.7"),
    });
    const streamed = { log: "acme", tenant: "acme", server: "planner", event_kind: "task", task: "task-9" };
    for (const number of [1, 2])
      await trail.event("stream", {
        ...streamed,
        event_id: `s.${number}`,
        call: "c-s",
        event_number: number,
        at: minute(number),
      });
    expect(idsOf(await page("actions", {}))).toEqual(["a-2", "a-1"]);
    expect(idsOf(await page("actions", { result: "failed", fault: "conflict", operator: "alice" }))).toEqual(["a-1"]);
    expect(idsOf(await page("actions", { result: "outcome-unknown", action: "keys.create" }))).toEqual(["a-2"]);
    expect(idsOf(await page("actions", { tenant: "acme" }))).toEqual([]);
    expect((await page("refusals", { peer: "192.0.2.7", status: 401 })).rows).toMatchObject([
      { peer: "192.0.2.7", count: 3 },
    ]);
    expect((await page("refusals", { peer: "192.0.2.8" })).rows).toEqual([]);
    expect((await page("streams", { task: "task-9", server: "planner" })).rows.map((row) => row["number"])).toEqual([
      2, 1,
    ]);
    await database.query("insert into audit_checkpoints values ('acme', 7, $1, now(), 'note')", [Buffer.alloc(32, 1)]);
    expect((await page("checkpoints", { tenant: "acme" })).rows).toMatchObject([{ size: 7, root: "01".repeat(32) }]);
  });
});

describe("one call", () => {
  test("is told with each of its events, and what it said, where that is kept", async () => {
    await call("whole", 1, { tenant: "whole", user: "bob", intent: { arguments_hash: Buffer.alloc(32, 2) } });
    await trail.event("content", {
      event_id: "whole.q",
      log: "whole",
      call: "whole",
      at: minute(1),
      part: "request",
      content: Buffer.alloc(32),
      bytes: 9,
    });
    await database.query("insert into audit_content values ('whole.q', $1, $2)", [Buffer.alloc(32), Buffer.from("{}")]);
    const found = await readCall(database, "whole");
    expect(found.call).toMatchObject({ call: "whole", auth_user: "bob", arguments_hash: "02".repeat(32) });
    expect(found.events.map(({ kind }) => kind)).toEqual(["intent", "content", "outcome"]);
    expect(found.events[0]).toMatchObject({ auth_user: "bob", emitter: "i1", trace: "trace-whole" });
    expect(await readContent(database, { call: "whole", part: "request" })).toMatchObject({ bytes: 9, data: "e30=" });
    await expect(readContent(database, { call: "whole", part: "response" })).rejects.toThrow(/nothing is kept/);
    await expect(readCall(database, "nothing")).rejects.toThrow(/no call/);
  });
});
