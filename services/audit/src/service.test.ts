import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { accountsBlock, AuditQueue, Bus, ensureTopology, store, type Delivery } from "@sluice/bus";
import { encodeJson, subjects, type Intent, type Outcome, type ServiceName, sessionNameOf } from "@sluice/contracts";
import { spawnService, startNats, startPostgres, type Part } from "@sluice/launcher";
import { createLog, createMetrics } from "@sluice/telemetry";
import pg from "pg";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from "vitest";
import { PostgresEvents } from "./events-postgres.ts";
import { startAudit } from "./service.ts";

const password = "only-for-this-test";
const ackWaitMs = 1_000;
const env = { ...process.env, NATS_URL: "", DATABASE_URL: "" };
const patience = { timeout: 20_000, interval: 20 };

let dataDir: string;
let nats: Part;
let postgres: Part;
let control: Bus;
let ingress: Bus;
let database: pg.Pool;
let databaseUrl: string;
let scope: AsyncDisposableStack;
let numbers = 0;

beforeAll(async () => {
  dataDir = await mkdtemp(join(tmpdir(), "sluice-audit-"));
  [nats, postgres] = await Promise.all([
    startNats({
      dataDir: join(dataDir, "nats"),
      config: accountsBlock({ password: () => JSON.stringify(password) }),
      env,
    }),
    startPostgres({ dataDir: join(dataDir, "postgres"), env }),
  ]);
  control = await connect("control");
  ingress = await connect("ingress");
}, 120_000);

afterAll(async () => {
  await Promise.all([control?.close(), ingress?.close()]);
  await Promise.all([nats?.stop(), postgres?.stop()]);
  await rm(dataDir, { recursive: true, force: true });
});

beforeEach(async () => {
  scope = new AsyncDisposableStack();
  await ensureTopology(control, {
    replicas: 1,
    trailMaxBytes: 64 << 20,
    trailMaxAgeMs: 3_600_000,
    auditMaxBytes: 64 << 20,
    repliesMaxBytes: 8 << 20,
    repliesMaxAgeMs: 60_000,
    pushMaxBytes: 8 << 20,
    pushMaxWaiting: 100,
  });
  const name = `audit_${process.pid}_${numbers++}`;
  const admin = new pg.Client({ connectionString: postgres.url });
  await admin.connect();
  await admin.query(`create database ${name}`);
  await admin.end();
  const url = new URL(postgres.url);
  url.pathname = `/${name}`;
  databaseUrl = url.href;
  database = new pg.Pool({ connectionString: databaseUrl, max: 2 });
  database.on("error", () => {});
});

afterEach(async () => {
  await scope.disposeAsync();
  await database.end();
});

function connect(service: ServiceName): Promise<Bus> {
  return Bus.connect({ url: nats.url, service, user: service, pass: password });
}

/** A replica of the service in this process; `kill` drops its connections without a word. */
async function startReplica() {
  const bus = await connect("audit");
  const parts = scope.use(new AsyncDisposableStack());
  parts.defer(() => bus.close());
  const metrics = createMetrics("audit");
  const ready: (() => boolean)[] = [];
  startAudit(
    {
      bus,
      log: createLog("audit", "silent"),
      metrics,
      scope: parts,
      report: () => {},
      requireReady: (check) => void ready.push(check),
    },
    {
      events: parts.use(new PostgresEvents({ connectionString: databaseUrl, ssl: false })),
      ackWaitMs,
      batch: { weight: 500, waitMs: 50 },
    },
  );
  const metric = async (name: string) => (await metrics.getSingleMetric(name)?.get())?.values[0]?.value;
  return { metric, stop: () => parts.disposeAsync(), isReady: () => ready.every((check) => check()) };
}

function intent(call: string, more: Partial<Intent> = {}): Intent {
  return {
    call,
    at: Date.now(),
    label: "mcp_proxy",
    tenant: "acme",
    agent: { id: "sentinel-1", name: "Sentinel" },
    auth: "apiKey",
    protocol: "mcp",
    era: "legacy",
    http: "POST",
    path: "/mcp",
    method: "tools/call",
    target: "echo",
    server: "everything",
    trace: "0".repeat(32),
    bytes: 100,
    ...more,
  };
}

function outcome(call: string, more: Partial<Outcome> = {}): Outcome {
  return {
    call,
    tenant: "acme",
    at: Date.now(),
    decision: "allow",
    status: 200,
    durationMs: 1.5,
    bytes: 50,
    by: "i1",
    ...more,
  };
}

const admit = (...calls: Intent[]) =>
  send(subjects.admit("mcp", { policy: true, limit: true, session: false }), { from: "i1", calls });
const conclude = (...outcomes: Outcome[]) =>
  send(subjects.audit("ingress"), { from: "i1", events: outcomes.map((one) => ({ event: "outcome", ...one })) });
const send = (subject: string, message: unknown) => store(ingress, { subject, payload: encodeJson(message) }, 5_000);

async function rows(text: string): Promise<Record<string, unknown>[]> {
  return (await database.query(text).catch(() => ({ rows: [] }))).rows;
}

async function countOf(what = "audit_events"): Promise<number> {
  return Number((await rows(`select count(*) from ${what}`))[0]?.["count"] ?? -1);
}

const untilStored = (count: number) => vi.waitFor(async () => expect(await countOf()).toBe(count), patience);

describe("what is stored", () => {
  test("an attempt is one row of audit_calls with who, what, decision and duration", async () => {
    await startReplica();
    await admit(intent("a-1", { session: sessionNameOf("the-session-id") }));
    await conclude(outcome("a-1", { rule: "accessRules[0]", isError: true }));
    await untilStored(2);
    const [call] = await rows("select * from audit_calls");
    expect(call).toMatchObject({
      call: "a-1",
      state: "done",
      tenant: "acme",
      agent_id: "sentinel-1",
      label: "mcp_proxy",
    });
    expect(call).toMatchObject({
      method: "tools/call",
      target: "echo",
      status: 200,
      decision: "allow",
      rule: "accessRules[0]",
    });
    expect(call).toMatchObject({ is_error: true, duration_ms: 1.5 });
    expect(call).toMatchObject({ session_hash: sessionNameOf("the-session-id").slice(0, 16) });
  });

  test("where an address stands for all servers, the outcome says which one the attempt concerns", async () => {
    await startReplica();
    await admit(intent("a-1", { server: "*" }), intent("a-2", { server: "*" }), intent("a-3"));
    await conclude(outcome("a-1", { upstream: "everything" }));
    await conclude(outcome("a-2"));
    await untilStored(5);
    expect(await rows("select call, server, upstream from audit_calls order by call")).toEqual([
      { call: "a-1", server: "*", upstream: "everything" },
      { call: "a-2", server: "*", upstream: null },
      { call: "a-3", server: "everything", upstream: "everything" },
    ]);
  });

  test("A34: an intent without an outcome is under way", async () => {
    await startReplica();
    await admit(intent("a-1"));
    await untilStored(1);
    expect(await rows("select state from audit_calls")).toEqual([{ state: "under way" }]);
  });

  test("text that Postgres can't hold is stored with U+FFFD in its place", async () => {
    await startReplica();
    await admit(intent("a-1", { target: "a\0b\ud800c" }));
    await untilStored(1);
    expect(await rows("select target from audit_calls")).toEqual([{ target: "a\u{FFFD}b\u{FFFD}c" }]);
  });

  test("A35: the application's role can't change or remove rows", async () => {
    await startReplica();
    await admit(intent("a-1"));
    await untilStored(1);
    for (const attempt of [
      "update audit_events set tenant = 'x'",
      "delete from audit_events",
      "truncate audit_events",
    ]) {
      await expect(database.query(`set role audit_writer; ${attempt}`)).rejects.toThrow("permission denied");
    }
  });
});

describe("exactly once", () => {
  test("A36: a message delivered again after its commit is one row", async () => {
    const bus = await connect("audit");
    const delivered = Promise.withResolvers<Delivery>();
    const queue = new AuditQueue(bus, { ackWaitMs, onDelivery: delivered.resolve });
    await admit(intent("a-1"));
    await delivered.promise;
    const replica = await startReplica();
    await admit(intent("a-1"));
    await untilStored(1);
    await queue.stop();
    await bus.close();
    await vi.waitFor(async () => expect(await replica.metric("sluice_audit_events_repeated_total")).toBe(1), patience);
    expect(await countOf()).toBe(1);
  });

  test("of two outcomes of a call the first one stays", async () => {
    const replica = await startReplica();
    await conclude(outcome("a-1", { status: 200 }), outcome("a-1", { status: 502 }));
    await untilStored(1);
    await conclude(outcome("a-1", { status: 504 }));
    await vi.waitFor(async () => expect(await replica.metric("sluice_audit_events_repeated_total")).toBe(2), patience);
    expect(await rows("select status from audit_events")).toEqual([{ status: 200 }]);
  });

  test("A36: two replicas that start at once share the stream and store each event once", async () => {
    const replicas = await Promise.all([startReplica(), startReplica()]);
    const sent = Array.from({ length: 400 }, (_, index) => intent(`a-${index}`));
    await Promise.all(sent.map((one) => admit(one, intent(`${one.call}-b`))));
    await Promise.all(sent.map((one) => admit(one)));
    await untilStored(800);
    await vi.waitFor(async () => {
      const stored = await Promise.all(replicas.map((replica) => replica.metric("sluice_audit_events_stored_total")));
      expect(stored.reduce<number>((sum, one) => sum + (one ?? 0), 0)).toBe(800);
    }, patience);
  });
});

describe("what goes wrong", () => {
  test.each([
    ["is not JSON", new TextEncoder().encode("{"), "it is not JSON"],
    ["holds no events", encodeJson({ from: "i1", calls: [] }), "calls"],
  ])("A36: a message that %s goes to the dead letters and the consumer goes on", async (_what, poison, reason) => {
    const replica = await startReplica();
    await store(ingress, { subject: subjects.audit("ingress"), payload: poison }, 5_000);
    await admit(intent("good"));
    await untilStored(1);
    await vi.waitFor(async () => expect(await replica.metric("sluice_audit_dead_letters_total")).toBe(1), patience);
    const letter = await lastDeadLetter(control);
    expect(letter).toMatchObject({ reason: expect.stringContaining(reason), subject: "gw.audit.v1.ingress" });
    expect(Buffer.from(letter.data, "base64").equals(poison)).toBe(true);
  });

  test.each([
    ["does not fit the schema", { ...outcome("bad"), fault: 7 }, "fault"],
    ["holds a number that can't be stored", outcome("bad", { bytes: 1.5 }), "bytes"],
    ["holds a time out of range", outcome("bad", { at: 9e15 }), "at:"],
    ["holds no HTTP status", outcome("bad", { status: 1_000 }), "status:"],
  ])("A36: an event that %s goes to the dead letters and the consumer goes on", async (_what, event, reason) => {
    const replica = await startReplica();
    await conclude(event as Outcome);
    await admit(intent("good"));
    await untilStored(1);
    await vi.waitFor(async () => expect(await replica.metric("sluice_audit_dead_letters_total")).toBe(1), patience);
    expect(await lastDeadLetter(control)).toMatchObject({ reason: expect.stringContaining(reason) });
  });

  test("A36: one event that can't be stored takes none of its message with it, and its dead letter holds it alone", async () => {
    const replica = await startReplica();
    const bad = outcome("bad", { durationMs: -5 });
    await conclude(outcome("a-1"), bad, outcome("a-2"));
    await untilStored(2);
    await vi.waitFor(async () => expect(await replica.metric("sluice_audit_dead_letters_total")).toBe(1), patience);
    const letter = await lastDeadLetter(control);
    expect(letter).toMatchObject({ reason: expect.stringContaining("durationMs"), subject: "gw.audit.v1.ingress" });
    expect(JSON.parse(Buffer.from(letter.data, "base64").toString())).toEqual({ event: "outcome", ...bad });
  });

  test("A36: of one message's rows that the database refuses in part, the others are stored", async () => {
    const replica = await startReplica();
    await vi.waitFor(() => expect(replica.isReady()).toBe(true), patience);
    await database.query("alter table audit_events add check (target <> 'refused')");
    await admit(intent("a-1"), intent("a-2", { target: "refused" }), intent("a-3"));
    await untilStored(2);
    await vi.waitFor(async () => expect(await replica.metric("sluice_audit_dead_letters_total")).toBe(1), patience);
    expect(await rows("select call from audit_events order by call")).toEqual([{ call: "a-1" }, { call: "a-3" }]);
  });

  test("A36: rows that the database refuses go to the dead letters, their neighbours are stored", async () => {
    const replica = await startReplica();
    await vi.waitFor(() => expect(replica.isReady()).toBe(true), patience);
    await database.query("alter table audit_events add check (target <> 'refused')");
    await Promise.all([admit(intent("a-1")), admit(intent("a-2", { target: "refused" })), admit(intent("a-3"))]);
    await untilStored(2);
    await vi.waitFor(async () => expect(await replica.metric("sluice_audit_dead_letters_total")).toBe(1), patience);
  });

  test("A39: nothing is lost while Postgres is away; readiness tells, and it comes back by itself", async () => {
    const replica = await startReplica();
    await admit(intent("a-0"));
    await untilStored(1);
    await vi.waitFor(() => expect(replica.isReady()).toBe(true), patience);
    await postgres.stop();
    const sent = Array.from({ length: 100 }, (_, index) => intent(`b-${index}`));
    await Promise.all(sent.map((one) => admit(one)));
    await vi.waitFor(() => expect(replica.isReady()).toBe(false), patience);
    await postgres.restart();
    await untilStored(101);
    await vi.waitFor(() => expect(replica.isReady()).toBe(true), patience);
  });

  test("events sent before the first replica and over a kill -9 of NATS are stored", async () => {
    await admit(intent("a-1"));
    await startReplica();
    await untilStored(1);
    await nats.kill("SIGKILL");
    await nats.restart();
    await ingress.whenConnected(10_000);
    await admit(intent("a-2"));
    await untilStored(2);
  });

  test("A38: SIGTERM in the middle ends the service cleanly, and another stores the rest", async () => {
    const sent = Array.from({ length: 3_000 }, (_, index) => intent(`a-${index}`));
    const sending = Promise.all(sent.map((one) => admit(one)));
    const service = await spawnService({
      name: "audit",
      command: process.execPath,
      args: [join(import.meta.dirname, "../dist/main.js")],
      env: { ...env, NATS_URL: nats.url, NATS_USER: "audit", NATS_PASSWORD: password, DATABASE_URL: databaseUrl },
    });
    await vi.waitFor(async () => expect(await countOf()).toBeGreaterThan(0), patience);
    expect(await service.stop("SIGTERM", 10_000)).toEqual({ code: 0, signal: null });
    await sending;
    await startReplica();
    await untilStored(3_000);
  }, 60_000);
});

async function lastDeadLetter(bus: Bus): Promise<{ reason: string; subject: string; data: string }> {
  const question = encodeJson({ last_by_subj: subjects.auditDead });
  const answer = await bus.ask("$JS.API.STREAM.MSG.GET.AUDIT_DEAD", question, { timeoutMs: 5_000 });
  const { message } = JSON.parse(Buffer.from(answer.data).toString()) as { message: { data: string } };
  return JSON.parse(Buffer.from(message.data, "base64").toString());
}
