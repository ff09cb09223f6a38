import { join } from "node:path";
import { AuditQueue, store, type Bus, type Delivery } from "@sluice/bus";
import { encodeJson, subjects, type Outcome, sessionNameOf } from "@sluice/contracts";
import { spawnService } from "@sluice/launcher";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from "vitest";
import {
  ackWaitMs,
  intent,
  outcome,
  password,
  patience,
  startReplica,
  TrailBus,
  type TrailDatabase,
  TrailDatabases,
} from "./trail-world.ts";

const house = new AsyncDisposableStack();
let databases: TrailDatabases;
let bus: TrailBus;
let database: TrailDatabase;
let scope: AsyncDisposableStack;

beforeAll(async () => {
  databases = house.use(await TrailDatabases.start(process.env));
  bus = house.use(await TrailBus.start(process.env));
}, 120_000);

afterAll(() => house.disposeAsync());

beforeEach(async () => {
  scope = new AsyncDisposableStack();
  await bus.ensureStreams();
  database = scope.use(await databases.create());
});

afterEach(() => scope.disposeAsync());

const started = () => startReplica({ bus, url: database.url, scope });

describe("what is stored", () => {
  test("an attempt is one row of audit_calls with who, what, decision and duration", async () => {
    await started();
    await bus.admit(intent("a-1", { session: sessionNameOf("the-session-id") }));
    await bus.conclude(outcome("a-1", { rule: "accessRules[0]", isError: true }));
    await database.untilStored(2);
    const [call] = await database.rows("select * from audit_calls");
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
    await started();
    await bus.admit(intent("a-1", { server: "*" }), intent("a-2", { server: "*" }), intent("a-3"));
    await bus.conclude(outcome("a-1", { upstream: "everything" }));
    await bus.conclude(outcome("a-2"));
    await database.untilStored(5);
    expect(await database.rows("select call, server, upstream from audit_calls order by call")).toEqual([
      { call: "a-1", server: "*", upstream: "everything" },
      { call: "a-2", server: "*", upstream: null },
      { call: "a-3", server: "everything", upstream: "everything" },
    ]);
  });

  test("A34: an intent without an outcome is under way", async () => {
    await started();
    await bus.admit(intent("a-1"));
    await database.untilStored(1);
    expect(await database.rows("select state from audit_calls")).toEqual([{ state: "under way" }]);
  });

  test("text that Postgres can't hold is stored with U+FFFD in its place", async () => {
    await started();
    await bus.admit(intent("a-1", { target: "a\0b\ud800c" }));
    await database.untilStored(1);
    expect(await database.rows("select target from audit_calls")).toEqual([{ target: "a\u{FFFD}b\u{FFFD}c" }]);
  });

  test("A35: the application's role can't change or remove rows", async () => {
    await started();
    await bus.admit(intent("a-1"));
    await database.untilStored(1);
    for (const attempt of [
      "update audit_events set tenant = 'x'",
      "delete from audit_events",
      "truncate audit_events",
    ]) {
      await expect(database.rows(`set role audit_writer; ${attempt}`)).rejects.toThrow("permission denied");
    }
  });
});

describe("exactly once", () => {
  test("A36: a message delivered again after its commit is one row", async () => {
    const other: Bus = await bus.connect("audit");
    const delivered = Promise.withResolvers<Delivery>();
    const queue = new AuditQueue(other, { ackWaitMs, onDelivery: delivered.resolve });
    await bus.admit(intent("a-1"));
    await delivered.promise;
    const replica = await started();
    await bus.admit(intent("a-1"));
    await database.untilStored(1);
    await queue.stop();
    await other.close();
    await vi.waitFor(async () => expect(await replica.metric("sluice_audit_events_repeated_total")).toBe(1), patience);
    expect(await database.count()).toBe(1);
  });

  test("of two outcomes of a call the first one stays", async () => {
    const replica = await started();
    await bus.conclude(outcome("a-1", { status: 200 }), outcome("a-1", { status: 502 }));
    await database.untilStored(1);
    await bus.conclude(outcome("a-1", { status: 504 }));
    await vi.waitFor(async () => expect(await replica.metric("sluice_audit_events_repeated_total")).toBe(2), patience);
    expect(await database.rows("select status from audit_events")).toEqual([{ status: 200 }]);
  });

  test("A36: two replicas that start at once share the stream and store each event once", async () => {
    const replicas = await Promise.all([started(), started()]);
    const sent = Array.from({ length: 400 }, (_, index) => intent(`a-${index}`));
    await Promise.all(sent.map((one) => bus.admit(one, intent(`${one.call}-b`))));
    await Promise.all(sent.map((one) => bus.admit(one)));
    await database.untilStored(800);
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
    const replica = await started();
    await store(bus.ingress, { subject: subjects.audit("ingress"), payload: poison }, 5_000);
    await bus.admit(intent("good"));
    await database.untilStored(1);
    await vi.waitFor(async () => expect(await replica.metric("sluice_audit_dead_letters_total")).toBe(1), patience);
    const letter = await bus.lastDeadLetter();
    expect(letter).toMatchObject({ reason: expect.stringContaining(reason), subject: "gw.audit.v1.ingress" });
    expect(Buffer.from(letter.data, "base64").equals(poison)).toBe(true);
  });

  test.each([
    ["does not fit the schema", { ...outcome("bad"), fault: 7 }, "fault"],
    ["holds a number that can't be stored", outcome("bad", { bytes: 1.5 }), "bytes"],
    ["holds a time out of range", outcome("bad", { at: 9e15 }), "at:"],
    ["holds no HTTP status", outcome("bad", { status: 1_000 }), "status:"],
  ])("A36: an event that %s goes to the dead letters and the consumer goes on", async (_what, event, reason) => {
    const replica = await started();
    await bus.conclude(event as Outcome);
    await bus.admit(intent("good"));
    await database.untilStored(1);
    await vi.waitFor(async () => expect(await replica.metric("sluice_audit_dead_letters_total")).toBe(1), patience);
    expect(await bus.lastDeadLetter()).toMatchObject({ reason: expect.stringContaining(reason) });
  });

  test("A36: one event that can't be stored takes none of its message with it, and its dead letter holds it alone", async () => {
    const replica = await started();
    const bad = outcome("bad", { durationMs: -5 });
    await bus.conclude(outcome("a-1"), bad, outcome("a-2"));
    await database.untilStored(2);
    await vi.waitFor(async () => expect(await replica.metric("sluice_audit_dead_letters_total")).toBe(1), patience);
    const letter = await bus.lastDeadLetter();
    expect(letter).toMatchObject({ reason: expect.stringContaining("durationMs"), subject: "gw.audit.v1.ingress" });
    expect(JSON.parse(Buffer.from(letter.data, "base64").toString())).toEqual({ event: "outcome", ...bad });
  });

  test("A36: of one message's rows that the database refuses in part, the others are stored", async () => {
    const replica = await started();
    await vi.waitFor(() => expect(replica.isReady()).toBe(true), patience);
    await database.rows("alter table audit_events add check (target <> 'refused')");
    await bus.admit(intent("a-1"), intent("a-2", { target: "refused" }), intent("a-3"));
    await database.untilStored(2);
    await vi.waitFor(async () => expect(await replica.metric("sluice_audit_dead_letters_total")).toBe(1), patience);
    expect(await database.rows("select call from audit_events order by call")).toEqual([
      { call: "a-1" },
      { call: "a-3" },
    ]);
  });

  test("A36: rows that the database refuses go to the dead letters, their neighbours are stored", async () => {
    const replica = await started();
    await vi.waitFor(() => expect(replica.isReady()).toBe(true), patience);
    await database.rows("alter table audit_events add check (target <> 'refused')");
    await Promise.all([
      bus.admit(intent("a-1")),
      bus.admit(intent("a-2", { target: "refused" })),
      bus.admit(intent("a-3")),
    ]);
    await database.untilStored(2);
    await vi.waitFor(async () => expect(await replica.metric("sluice_audit_dead_letters_total")).toBe(1), patience);
  });

  test("A39: nothing is lost while Postgres is away; readiness tells, and it comes back by itself", async () => {
    const replica = await started();
    await bus.admit(intent("a-0"));
    await database.untilStored(1);
    await vi.waitFor(() => expect(replica.isReady()).toBe(true), patience);
    await databases.postgres.stop();
    const sent = Array.from({ length: 100 }, (_, index) => intent(`b-${index}`));
    await Promise.all(sent.map((one) => bus.admit(one)));
    await vi.waitFor(() => expect(replica.isReady()).toBe(false), patience);
    await databases.postgres.restart();
    await database.untilStored(101);
    await vi.waitFor(() => expect(replica.isReady()).toBe(true), patience);
  });

  test("events sent before the first replica and over a kill -9 of NATS are stored", async () => {
    await bus.admit(intent("a-1"));
    await started();
    await database.untilStored(1);
    await bus.nats.kill("SIGKILL");
    await bus.nats.restart();
    await bus.ingress.whenConnected(10_000);
    await bus.admit(intent("a-2"));
    await database.untilStored(2);
  });

  test("A38: SIGTERM in the middle ends the service cleanly, and another stores the rest", async () => {
    const sent = Array.from({ length: 3_000 }, (_, index) => intent(`a-${index}`));
    const sending = Promise.all(sent.map((one) => bus.admit(one)));
    const service = await spawnService({
      name: "audit",
      command: process.execPath,
      args: [join(import.meta.dirname, "../dist/main.js")],
      env: {
        ...process.env,
        NATS_URL: bus.nats.url,
        NATS_USER: "audit",
        NATS_PASSWORD: password,
        DATABASE_URL: database.url,
      },
    });
    await vi.waitFor(async () => expect(await database.count()).toBeGreaterThan(0), patience);
    expect(await service.stop("SIGTERM", 10_000)).toEqual({ code: 0, signal: null });
    await sending;
    await started();
    await database.untilStored(3_000);
  }, 60_000);
});
