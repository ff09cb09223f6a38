import { createHash } from "node:crypto";
import { connect, createServer, type AddressInfo, type Socket } from "node:net";
import { once } from "node:events";
import { personalColumns, type TrailEvent } from "@sluice/contracts";
import fc from "fast-check";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { TrailBroken } from "./edges-postgres.ts";
import { newEvent, rowOf, type NewEvent } from "./event-row.ts";
import { PostgresEvents } from "./events-postgres.ts";
import { intent, outcome, type TrailDatabase, TrailDatabases } from "./trail-world.ts";

const house = new AsyncDisposableStack();
let databases: TrailDatabases;
let database: TrailDatabase;
let scope: AsyncDisposableStack;

beforeAll(async () => {
  databases = house.use(await TrailDatabases.start(process.env));
}, 120_000);
afterAll(() => house.disposeAsync());
beforeEach(async () => {
  scope = new AsyncDisposableStack();
  database = scope.use(await databases.create());
});
afterEach(() => scope.disposeAsync());

const writer = (url = database.url) => scope.use(new PostgresEvents({ connectionString: url, ssl: false }));
const events = (count: number, { prefix = "c", tenant = "acme" } = {}) =>
  Array.from({ length: count }, (_, index) => told({ event: "intent", ...intent(`${prefix}-${index}`, { tenant }) }));
const told = (event: TrailEvent): NewEvent => rowOf(event, "i1");

const sha256 = (...parts: readonly (string | Uint8Array)[]) =>
  parts.reduce((digest, part) => digest.update(part), createHash("sha256")).digest();

/** MTH as RFC 9162 §2.1.1 writes it down. */
function rootOf(hashes: readonly Buffer[]): Buffer {
  if (hashes.length < 2) return hashes[0] ?? sha256();
  let split = 1;
  while (split * 2 < hashes.length) split *= 2;
  return sha256(Buffer.of(1), rootOf(hashes.slice(0, split)), rootOf(hashes.slice(split)));
}

/** The record of a row by what ADR 0010 says; flat members only, which is all that these tests store. */
function recordOf(row: Record<string, unknown>): string {
  const said = (value: unknown) => {
    if (Buffer.isBuffer(value)) return value.toString("hex");
    return value instanceof Date ? value.toISOString() : value;
  };
  const members = Object.entries(row).filter(([name, value]) => value !== null && !name.startsWith("leaf_"));
  return `{${members
    .toSorted(([one], [other]) => (one < other ? -1 : 1))
    .map(([name, value]) => `${JSON.stringify(name)}:${JSON.stringify(said(value))}`)
    .join(",")}}`;
}

const numeric = ["leaf_index", "bytes", "seq", "policy_version", "limit_left", "events", "event_number"];

/** Recomputes every log from its rows. @returns log → number of leaves */
async function verified(): Promise<Record<string, number>> {
  const rows = await database.rows("select * from audit_events order by log, leaf_index");
  for (const row of rows) for (const name of numeric) if (row[name] !== null) row[name] = Number(row[name]);
  const sizes: Record<string, number> = {};
  for (const log of new Set(rows.map((row) => String(row["log"])))) {
    const leaves = rows.filter((row) => row["log"] === log);
    expect(leaves.map((leaf) => leaf["leaf_index"])).toEqual(leaves.map((_, index) => index));
    const hashes = leaves.map((leaf) => sha256(Buffer.of(0), recordOf(leaf)));
    expect(leaves.map((leaf) => (leaf["leaf_hash"] as Buffer).toString("hex"))).toEqual(
      hashes.map((hash) => hash.toString("hex")),
    );
    const heads = await database.rows("select size::int, root from audit_heads where log = $1 order by size", [log]);
    for (const { size, root } of heads.slice(-5)) expect(root).toEqual(rootOf(hashes.slice(0, Number(size))));
    expect(heads.at(-1)?.["size"]).toBe(leaves.length);
    const tiles = await database.rows("select tile_index::int, hashes from audit_tiles where log = $1 and level = 0", [
      log,
    ]);
    expect(tiles).toHaveLength(Math.floor(leaves.length / 256));
    for (const { tile_index: tile, hashes: said } of tiles)
      expect(said).toEqual(Buffer.concat(hashes.slice(Number(tile) * 256, Number(tile) * 256 + 256)));
    sizes[log] = leaves.length;
  }
  return sizes;
}

/** Stands before Postgres and cuts the connection when a transaction has been committed, or is about to be. */
async function cutting(when: "before" | "after"): Promise<{ url: string; cuts: () => number }> {
  const target = new URL(database.url);
  const [host, port] = [target.hostname, Number(target.port)];
  let cuts = 0;
  const end = (...sockets: Socket[]) => {
    cuts++;
    for (const socket of sockets) socket.destroy();
  };
  const server = createServer((client) => {
    const upstream = connect(port, host);
    for (const socket of [client, upstream]) socket.on("error", () => {});
    let committing = false;
    client.on("data", (data) => {
      committing = data.includes("\u000bcommit\0");
      if (committing && when === "before" && cuts === 0) end(client, upstream);
      else upstream.write(data);
    });
    upstream.on("data", (data) =>
      committing && when === "after" && cuts === 0 ? end(client, upstream) : client.write(data),
    );
    client.on("close", () => upstream.destroy());
    upstream.on("close", () => client.destroy());
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  scope.defer(() => void server.close());
  target.hostname = "127.0.0.1";
  target.port = String((server.address() as AddressInfo).port);
  return { url: target.href, cuts: () => cuts };
}

describe("the tree of what is stored", () => {
  test("each row is a leaf, each log's heads are the roots of its leaves, and whole tiles are kept", async () => {
    const trail = writer();
    expect(await trail.store([...events(300), ...events(3, { prefix: "b", tenant: "beta" })])).toBe(303);
    expect(await trail.store([...events(300), told({ event: "outcome", ...outcome("c-1") })])).toBe(1);
    const started = { event: "emitter", seq: 1, at: 5, service: "ingress", word: "started", version: "1" } as const;
    expect(await trail.store([told(started)])).toBe(1);
    expect(await verified()).toEqual({ acme: 301, beta: 3, _gateway: 1 });
  });

  test("any text, number and time is hashed as it is stored", async () => {
    const trail = writer();
    const text = fc.string({ unit: "grapheme", maxLength: 60 }).map((one) => one.replaceAll("\0", ""));
    const any = fc.record({
      target: text,
      at: fc.integer({ min: 0, max: Date.UTC(9999, 11, 31) }),
      bytes: fc.integer({ min: 0, max: Number.MAX_SAFE_INTEGER }),
      durationMs: fc.double({ min: 0, noNaN: true, noDefaultInfinity: true }).map((one) => one + 0),
    });
    const made = fc.sample(any, { numRuns: 200, seed: 7 });
    const rows = made.flatMap(({ target, at, bytes, durationMs }, index) => [
      told({ event: "intent", ...intent(`a-${index}`, { target, at, bytes }) }),
      told({ event: "outcome", ...outcome(`a-${index}`, { rule: target, at, bytes, durationMs }) }),
    ]);
    await trail.store(rows);
    expect(await verified()).toEqual({ acme: 400 });
  });

  test("writers that store the same events in the same logs at once make one row each, and one tree", async () => {
    const writers = Array.from({ length: 4 }, () => writer());
    const batches = Array.from({ length: 24 }, (_, batch) =>
      ["acme", "beta", "gamma"].flatMap((tenant) => events(40, { prefix: `${tenant}-${batch % 12}`, tenant })),
    );
    const stored = await Promise.all(
      batches.map((batch, index) => writers[index % 4]?.store(index % 2 === 0 ? batch : batch.toReversed())),
    );
    expect(stored.reduce<number>((sum, one) => sum + (one ?? 0), 0)).toBe(12 * 120);
    expect(await verified()).toEqual({ acme: 480, beta: 480, gamma: 480 });
  });
});

test("what one process stores by two connections at once is not taken for a database that was put back", async () => {
  const trail = writer();
  const several = async (prefix: string) => {
    for (let number = 0; number < 150; number++) await trail.store(events(1, { prefix: `${prefix}${number}` }));
  };
  await Promise.all([several("a"), several("b")]);
  expect(await verified()).toEqual({ acme: 300 });
}, 60_000);

describe("what breaks in between", () => {
  test.each(["before", "after"] as const)(
    "a connection lost %s the commit: stored again it is one row",
    async (when) => {
      const { url, cuts } = await cutting(when);
      const trail = writer(url);
      await expect(trail.store(events(10))).rejects.toThrow();
      expect(cuts()).toBe(1);
      expect(await trail.store([...events(10), ...events(5, { prefix: "d" })])).toBe(when === "after" ? 5 : 15);
      expect(await verified()).toEqual({ acme: 15 });
    },
  );

  test("a writer goes on where another one stopped, by leaves or by tiles", async () => {
    const [one, other] = [writer(), writer()];
    await one.store(events(700));
    await other.store(events(20, { prefix: "d" }));
    await one.store(events(20, { prefix: "e" }));
    expect(await verified()).toEqual({ acme: 740 });
  });

  test("a database that was put back to an earlier state is noticed, and nothing is added to it", async () => {
    const trail = writer();
    await trail.store(events(10));
    await database.rows("create table then_heads as select * from audit_heads");
    await trail.store(events(10, { prefix: "d" }));
    await database.rows("alter table audit_heads disable trigger user; alter table audit_events disable trigger user");
    await database.rows("delete from audit_events where leaf_index >= 10; delete from audit_heads where size > 10");
    await expect(trail.store(events(1, { prefix: "e" }))).rejects.toThrow(TrailBroken);
    await writer().store(events(30, { prefix: "f" }));
    await expect(trail.store(events(1, { prefix: "e" }))).rejects.toThrow(/had 20 events and has 40/);
    expect(await verified()).toEqual({ acme: 40 });
  });

  test("rows that do not make the tree of the head are noticed", async () => {
    await writer().store(events(10));
    await database.rows("alter table audit_events disable trigger user");
    await database.rows("update audit_events set leaf_hash = sha256('x') where leaf_index = 3");
    await expect(writer().store(events(1, { prefix: "e" }))).rejects.toThrow(TrailBroken);
  });
});

describe("people", () => {
  test("are commitments in the rows, the same for one log and value, others in another log", async () => {
    const trail = writer();
    await trail.store([...events(2), ...events(1, { prefix: "d" }), ...events(1, { prefix: "b", tenant: "beta" })]);
    const rows = await database.rows("select agent_id, log from audit_events order by event_id");
    const said = await database.rows("select log, value, salt, commitment from audit_subjects");
    expect(new Set(rows.map(({ agent_id: id }) => (id as Buffer).toString("hex"))).size).toBe(2);
    for (const { value, salt, commitment } of said) expect(commitment).toEqual(sha256(salt as Buffer, String(value)));
    expect(said).toHaveLength(4);
    expect(await database.rows("select distinct agent_id from audit_calls")).toEqual([{ agent_id: "sentinel-1" }]);
    const columns = (await database.rows("select * from audit_events limit 1"))[0] ?? {};
    for (const column of personalColumns)
      expect([null, true]).toContain(columns[column] && Buffer.isBuffer(columns[column]));
  });

  test("who was forgotten and comes again gets another commitment, of the same writer too", async () => {
    const trail = writer();
    await trail.store(events(1));
    await database.rows("delete from audit_subjects");
    await trail.store(events(1, { prefix: "d" }));
    const rows = await database.rows("select agent_id from audit_calls order by call");
    expect(rows).toEqual([{ agent_id: expect.stringMatching(/^erased-[0-9a-f]{12}$/) }, { agent_id: "sentinel-1" }]);
    expect(await verified()).toEqual({ acme: 2 });
  });

  test("what is captured and kept lies apart, behind a commitment of its own each", async () => {
    const data = Buffer.from("what was said");
    const captured = { b: [1, "x"], a: { z: null } };
    const content = { event: "content", call: "c-0", at: 1, tenant: "acme", part: "request", bytes: 13 } as const;
    await writer().store([
      told({ event: "intent", ...intent("c-0", { captured }) }),
      told({ ...content, data: data.toString("base64") }),
    ]);
    const [kept] = await database.rows("select * from audit_content join audit_events using (event_id)");
    expect(kept).toMatchObject({ event_id: "c-0.c.request", data, bytes: "13" });
    expect(kept?.["content"]).toEqual(sha256(kept?.["salt"] as Buffer, data));
    const [fields] = await database.rows(
      "select salt, fields, captured from audit_captured join audit_events using (event_id)",
    );
    expect(fields?.["fields"]).toEqual(captured);
    expect(fields?.["captured"]).toEqual(sha256(fields?.["salt"] as Buffer, `{"a":{"z":null},"b":[1,"x"]}`));
  });
});

describe("A36: an event that is told again", () => {
  const words = () =>
    database.rows(
      "select event_id, emitter, seq, call, log, tenant from audit_events where word = 'repeated' order by 1",
    );
  const ended = (seq: number, emitter: string) => rowOf({ event: "outcome", ...outcome("c-1", { seq }) }, emitter);

  test("under another number is one row, and a word stands in its place so that no number is missing", async () => {
    const trail = writer();
    expect(await trail.store([ended(7, "egress-1")])).toBe(1);
    expect(await trail.store([ended(7, "egress-1")])).toBe(0);
    expect(await words()).toEqual([]);
    expect(await trail.store([ended(3, "ingress-1"), ended(3, "ingress-1"), ended(9, "egress-1")])).toBe(0);
    expect(await writer().store([ended(9, "egress-1"), ended(3, "ingress-1"), ended(7, "egress-1")])).toBe(0);
    const of = { call: "c-1", log: "acme", tenant: "acme" };
    expect(await words()).toEqual([
      { event_id: "egress-1.r9", emitter: "egress-1", seq: "9", ...of },
      { event_id: "ingress-1.r3", emitter: "ingress-1", seq: "3", ...of },
    ]);
    expect(await verified()).toEqual({ acme: 3 });
  });

  test("in one message is one row and a word; without a number it leaves nothing", async () => {
    const trail = writer();
    const lost = newEvent("c-1.u", { kind: "unknown", emitter: "audit-1", event: { at: 1, tenant: "acme" } }, {});
    expect(await trail.store([ended(1, "i1"), ended(2, "i1"), lost, lost])).toBe(2);
    expect(await words()).toMatchObject([{ event_id: "i1.r2" }]);
    expect(await verified()).toEqual({ acme: 3 });
  });

  test("at once by several, to several writers, is one row and a word for each but one", async () => {
    const writers = Array.from({ length: 4 }, () => writer());
    const tellers = Array.from({ length: 8 }, (_, index) => ended(5, `e-${index}`));
    await Promise.all(tellers.map((event, index) => writers[index % 4]?.store([event, event])));
    await Promise.all(tellers.map((event, index) => writers[(index + 1) % 4]?.store([event])));
    const [row] = await database.rows(
      "select count(*)::int, count(distinct emitter)::int as tellers from audit_events",
    );
    expect(row).toEqual({ count: 8, tellers: 8 });
    expect(await words()).toHaveLength(7);
    expect(await verified()).toEqual({ acme: 8 });
  });
});

test("a writer goes on where others have added, and retention has removed, since it wrote last", async () => {
  const [idle, busy] = [writer(), writer()];
  await idle.store(events(1));
  await busy.store(events(600, { prefix: "d" }));
  await database.rows("delete from audit_events where log = 'acme' and leaf_index < 512");
  expect(await idle.store(events(10, { prefix: "e" }))).toBe(10);
  expect(await busy.store(events(10, { prefix: "f" }))).toBe(10);
  const heads = await database.rows("select max(size)::int as size from audit_heads where log = 'acme'");
  expect(heads).toEqual([{ size: 621 }]);
  expect(await writer().store(events(1, { prefix: "g" }))).toBe(1);
});
