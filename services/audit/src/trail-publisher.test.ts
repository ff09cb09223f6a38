import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Bus, ensureTopology } from "@sluice/bus";
import { decodeJson, encodeJson, streams, subjects, type TrailEntry } from "@sluice/contracts";
import { startNats, startPostgres, type Part } from "@sluice/launcher";
import { auditSchema, connect, migrate } from "@sluice/schema";
import { createLog, createMetrics } from "@sluice/telemetry";
import type { Client } from "pg";
import { afterAll, afterEach, beforeAll, beforeEach, expect, test, vi } from "vitest";
import { startTrail } from "./start-trail.ts";
import type { TrailPublisher } from "./trail-publisher.ts";

const patience = { timeout: 30_000, interval: 20 };
const whole = new AsyncDisposableStack();
let replicas: AsyncDisposableStack;
let nats: Part;
let postgresUrl: string;
let database: Client;
let control: Bus;

beforeAll(async () => {
  const dataDir = await mkdtemp(join(tmpdir(), "sluice-trail-"));
  whole.defer(() => rm(dataDir, { recursive: true, force: true }));
  const env = { ...process.env, NATS_URL: "", DATABASE_URL: "" };
  const [natsPart, postgres] = await Promise.all([
    startNats({ dataDir: join(dataDir, "nats"), env, syncInterval: "always" }),
    startPostgres({ dataDir: join(dataDir, "postgres"), env }),
  ]);
  nats = natsPart;
  whole.defer(() => nats.stop());
  whole.defer(() => postgres.stop());
  postgresUrl = postgres.url;
  database = await connect(postgres.url);
  whole.defer(() => database.end());
  await migrate(database, auditSchema);
  control = whole.use(await Bus.connect({ url: nats.url, service: "control" }));
}, 120_000);
afterAll(() => whole.disposeAsync());

beforeEach(async () => {
  replicas = new AsyncDisposableStack();
  await makeStreams();
});
afterEach(async () => {
  await replicas.disposeAsync();
  for (const { name } of [streams.trail]) await ask(`$JS.API.STREAM.DELETE.${name}`, {});
  await database.query("set session_replication_role = replica");
  await database.query("truncate audit_events, audit_heads, audit_captured, audit_cursors");
  await database.query("set session_replication_role = default");
});

const makeStreams = () =>
  ensureTopology(control, {
    replicas: 1,
    auditMaxBytes: 8 << 20,
    trailMaxBytes: 256 << 20,
    trailMaxAgeMs: 3_600_000,
    repliesMaxBytes: 8 << 20,
    repliesMaxAgeMs: 60_000,
    pushMaxBytes: 8 << 20,
    pushMaxWaiting: 100,
  });

async function ask<Answer>(subject: string, question: object): Promise<Answer> {
  return decodeJson<Answer>((await control.ask(subject, encodeJson(question), { timeoutMs: 5_000 })).data);
}

async function startReplica(): Promise<TrailPublisher> {
  const scope = replicas.use(new AsyncDisposableStack());
  const bus = scope.use(await Bus.connect({ url: nats.url, service: "audit" }));
  const context = { bus, log: createLog("audit", "silent"), metrics: createMetrics("audit"), scope, report() {} };
  return startTrail(context, { connectionString: postgresUrl, ssl: false });
}

/** Stores events as one transaction does; the leaves are of no account here. */
async function storeEvents(log: string, from: number, size: number): Promise<void> {
  await database.query("begin");
  await database.query(
    `insert into audit_events (event_id, log, leaf_index, leaf_hash, schema, kind, at, stored_at, emitter, service, word)
     select $1 || '-' || n, $1, n, sha256('x'), 1, 'emitter', now(), now(), 'e1', 'egress', 'started'
     from generate_series($2::bigint, $3::bigint - 1) as n`,
    [log, from, size],
  );
  await database.query("insert into audit_heads (log, size, root, at) values ($1, $2, sha256('x'), now())", [
    log,
    size,
  ]);
  await database.query("commit");
}

/** The indices of a log in the order of the stream. */
async function published(log: string): Promise<number[]> {
  const found: number[] = [];
  for (let seq = 1; ; seq++) {
    const question = { seq, next_by_subj: subjects.trail(log) };
    const { message } = await ask<{ message?: { seq: number; data: string } }>(
      "$JS.API.STREAM.MSG.GET.TRAIL",
      question,
    );
    if (message === undefined) return found;
    found.push((JSON.parse(Buffer.from(message.data, "base64").toString()) as TrailEntry).index);
    seq = message.seq;
  }
}

const upTo = (size: number, from = 0) => Array.from({ length: size - from }, (_, index) => from + index);
const countOf = async (log: string) => {
  const question = { subjects_filter: subjects.trail(log) };
  const { state } = await ask<{ state?: { subjects?: Record<string, number> } }>("$JS.API.STREAM.INFO.TRAIL", question);
  return state?.subjects?.[subjects.trail(log)] ?? 0;
};
const untilCount = (log: string, count: number) =>
  vi.waitFor(async () => expect(await countOf(log)).toBe(count), patience);

test("A36: each stored event of each log comes once, in the order of its log, whoever stored it", async () => {
  await storeEvents("acme", 0, 700);
  await storeEvents("beta", 0, 3);
  const publisher = await startReplica();
  await untilCount("acme", 700);
  await storeEvents("beta", 3, 5);
  publisher.stored("beta", 5);
  await storeEvents("acme", 700, 701);
  await Promise.all([untilCount("acme", 701), untilCount("beta", 5)]);
  expect(await published("acme")).toEqual(upTo(701));
  expect(await published("beta")).toEqual(upTo(5));
});

test("A36: none is lost, doubled or out of order over kill -9 of NATS in the middle", async () => {
  await startReplica();
  await storeEvents("acme", 0, 8_000);
  for (const part of [1, 2, 3]) {
    await vi.waitFor(async () => expect(await countOf("acme")).toBeGreaterThan(part * 500), patience);
    await nats.kill("SIGKILL");
    await nats.restart();
    await control.whenConnected(10_000);
  }
  await untilCount("acme", 8_000);
  expect(await published("acme")).toEqual(upTo(8_000));
}, 120_000);

test("A36: of several replicas one publishes, and another goes on where it ended", async () => {
  const all = [await startReplica(), await startReplica()];
  await storeEvents("acme", 0, 2_000);
  await vi.waitFor(() => expect(all.filter(({ active }) => active)).toHaveLength(1), patience);
  await all.find(({ active }) => active)?.stop();
  await storeEvents("acme", 2_000, 4_000);
  await untilCount("acme", 4_000);
  expect(await published("acme")).toEqual(upTo(4_000));
});

test("two that publish at once, because one has lost its lock unknowingly, publish each event once", async () => {
  await Promise.all([startReplica(), startReplica()]);
  const thief = await connect(postgresUrl);
  replicas.defer(() => thief.end());
  const stolen = setInterval(
    () =>
      void thief
        .query("select pg_terminate_backend(pid) from pg_locks where locktype = 'advisory' and objid = 7583231")
        .catch(() => {}),
    100,
  );
  await storeEvents("acme", 0, 5_000);
  await vi.waitFor(async () => expect(await countOf("acme")).toBeGreaterThan(500), patience);
  clearInterval(stolen);
  await untilCount("acme", 5_000);
  expect(await published("acme")).toEqual(upTo(5_000));
}, 60_000);

test("a stream that was purged, or is lost, goes on behind what it had", async () => {
  const publisher = await startReplica();
  await storeEvents("acme", 0, 10);
  await untilCount("acme", 10);
  await vi.waitFor(async () => {
    const { rows } = await database.query("select next_index from audit_cursors where destination = 'trail'");
    expect(rows).toEqual([{ next_index: "10" }]);
  }, patience);
  await ask("$JS.API.STREAM.PURGE.TRAIL", {});
  await storeEvents("acme", 10, 12);
  await untilCount("acme", 2);
  await publisher.stop();
  await ask("$JS.API.STREAM.DELETE.TRAIL", {});
  await makeStreams();
  await storeEvents("acme", 12, 13);
  await startReplica();
  await untilCount("acme", 1);
  expect(await published("acme")).toEqual([12]);
});

test("an event that NATS can't carry whole comes without what was captured, which stays sealed", async () => {
  await storeEvents("acme", 0, 1);
  const commitment = Buffer.alloc(32, 3);
  await database.query("set session_replication_role = replica");
  await database.query("update audit_events set captured = $1", [commitment]);
  await database.query("set session_replication_role = default");
  const fields = JSON.stringify({ all: "x".repeat(1_100_000) });
  await database.query("insert into audit_captured (event_id, salt, fields) values ('acme-0', $1, $2)", [
    commitment,
    fields,
  ]);
  await startReplica();
  await untilCount("acme", 1);
  const { message } = await ask<{ message: { data: string } }>("$JS.API.STREAM.MSG.GET.TRAIL", {
    last_by_subj: subjects.trail("acme"),
  });
  const entry = JSON.parse(Buffer.from(message.data, "base64").toString()) as TrailEntry;
  expect(entry.sealed).toEqual({ captured: { commitment: commitment.toString("hex") } });
  expect(entry.event).not.toHaveProperty("captured");
});
