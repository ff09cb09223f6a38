import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { auditSectionSchema, encodeJson, type AuditSection } from "@sluice/contracts";
import { loadState, prepareDatabases, startPostgres, type Part } from "@sluice/launcher";
import { Database } from "@sluice/runtime/postgres";
import { auditSchema } from "@sluice/schema";
import { createLog, createMetrics } from "@sluice/telemetry";
import pg from "pg";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from "vitest";
import { PostgresEvents } from "../events-postgres.ts";
import { readMessage } from "../read-message.ts";
import { readRecords } from "../records.ts";
import { Dispatcher } from "./dispatcher.ts";
import { createDestinationMetrics } from "./metrics.ts";
import { movePlace } from "./places.ts";
import { Receiver } from "./receiver.ts";

const patience = { timeout: 20_000, interval: 20 };
const pauses = { firstMs: 20, lastMs: 100 };

let dir: string;
let postgres: Part;
let events: PostgresEvents;
let owner: pg.Pool;
let writerUrl: string;
let scope: AsyncDisposableStack;
let receiver: Receiver;
let log: string;
let logs = 0;
let calls = 0;

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), "sluice-destinations-"));
  postgres = await startPostgres({ dataDir: join(dir, "postgres"), env: { ...process.env, DATABASE_URL: "" } });
  writerUrl = (await prepareDatabases(postgres, await loadState(dir))).audit;
  events = new PostgresEvents({ connectionString: writerUrl, ssl: false });
  owner = new pg.Pool({ connectionString: postgres.url, max: 2 });
  owner.on("error", () => {});
}, 120_000);

afterAll(async () => {
  await events[Symbol.asyncDispose]();
  await owner.end();
  await postgres.stop();
  await rm(dir, { recursive: true, force: true });
});

beforeEach(async () => {
  log = `tenant-${logs++}`;
  scope = new AsyncDisposableStack();
  receiver = await receive();
});
afterEach(() => scope.disposeAsync());

async function receive(): Promise<Receiver> {
  const started = await new Receiver().start();
  scope.defer(() => started.stop());
  return started;
}

interface Buried {
  readonly text: string;
  readonly reason: string;
}

/** A replica, as the service has it. */
function startReplica() {
  const database = (connections: number) =>
    new Database(
      { connectionString: writerUrl, ssl: false },
      {
        ...{ ...auditSchema, migrates: false, name: "destinations", connections },
        ...{ connectTimeoutMs: 5_000, queryTimeoutMs: 10_000 },
      },
    );
  const [reading, locks] = [database(2), database(1)];
  const buried: Buried[] = [];
  const registry = createMetrics("audit");
  const metrics = createDestinationMetrics(registry, () => dispatcher.followers);
  const dispatcher = new Dispatcher({
    locks,
    trail: {
      read: (range) => reading.use((client) => readRecords(client, range)),
      move: (place) => reading.use((client) => movePlace(client, place)),
      bury: async (_, letter) => void buried.push(letter),
    },
    secrets: { value: () => "secret", again: () => {} },
    fileDir: undefined,
    ca: undefined,
    metrics,
    log: createLog("audit", "silent"),
    pauses,
  });
  let stopped: Promise<void> | undefined;
  const stop = () =>
    (stopped ??= (async () => {
      await dispatcher.stop();
      await Promise.all([reading, locks].map((each) => each[Symbol.asyncDispose]()));
    })());
  scope.defer(stop);
  const metric = async (name: string) => (await registry.getSingleMetric(name)?.get())?.values[0]?.value;
  return { dispatcher, buried, metric, stop };
}

type Settings = Record<string, unknown>;
const toReceiver = (more: Settings = {}): Settings => ({
  ...{ type: "http", name: "siem", url: receiver.url, from: "start", flushIntervalMs: 50, timeoutMs: 2_000, ...more },
});
const sections = (...destinations: Settings[]): Map<string, AuditSection> =>
  new Map([[log, auditSectionSchema.parse({ version: 1, destinations })]]);

async function store(...some: Settings[]): Promise<void> {
  const { events: read, unreadable } = readMessage(
    encodeJson({ from: "ingress-1", events: some }),
    "gw.audit.v1.ingress",
  );
  expect(unreadable).toEqual([]);
  await events.store(read.map(({ row }) => row));
}

function callOf(more: { intent?: Settings; outcome?: Settings } = {}): {
  id: string;
  intent: Settings;
  outcome: Settings;
} {
  const call = `call-${calls++}`;
  const common = { call, tenant: log, at: Date.now() };
  const intent = {
    ...{
      ...common,
      event: "intent",
      label: "mcp_proxy",
      agent: { id: "sentinel-1", name: "Sentinel" },
      auth: "apiKey",
    },
    ...{ protocol: "mcp", era: "legacy", http: "POST", path: "/mcp", method: "tools/call", target: "echo" },
    ...{ server: "everything", trace: "0".repeat(32), bytes: 100, ...more.intent },
  };
  const outcome = {
    ...{ ...common, event: "outcome", decision: "allow", status: 200, durationMs: 1.5, bytes: 50, by: "egress-1" },
    ...more.outcome,
  };
  return { id: `${call}.o`, intent, outcome };
}

/** Calls that were made and ended; the ids of their records. */
async function makeCalls(count: number): Promise<string[]> {
  const made = Array.from({ length: count }, () => callOf());
  await store(...made.flatMap(({ intent, outcome }) => [intent, outcome]));
  return made.map(({ id }) => id);
}

const untilTaken = (ids: readonly string[], by = receiver) =>
  vi.waitFor(() => expect(by.ids).toEqual(expect.arrayContaining([...ids])), patience);
const placeOf = async (name = "siem") => {
  const { rows } = await owner.query("select next_index from audit_cursors where destination = $1 and log = $2", [
    name,
    log,
  ]);
  return Number((rows as { next_index: string }[])[0]?.next_index ?? -1);
};

describe("a destination", () => {
  test("gets one record per call, whole, in the order of the log, in batches by size; the rest after flushIntervalMs", async () => {
    const ids = await makeCalls(7);
    const { dispatcher, metric } = startReplica();
    dispatcher.configure(sections(toReceiver({ batchSize: 3 })));
    await untilTaken(ids);
    expect(receiver.taken.map(({ body }) => (JSON.parse(body) as unknown[]).length)).toEqual([3, 3, 1]);
    expect(receiver.ids).toEqual(ids);
    expect(receiver.records[0]).toMatchObject({
      ...{ type: "call", log, index: 1, state: "done", agentId: "sentinel-1", agentName: "Sentinel", toolName: "echo" },
      ...{ protocolMethod: "tools/call", requestPath: "/mcp", status: 200, decision: "allow", duration: 1.5 },
    });
    await vi.waitFor(async () => expect(await placeOf()).toBe(14), patience);
    expect(await metric("sluice_audit_destination_sent_total")).toBe(7);
    expect(await metric("sluice_audit_destination_lag_events")).toBe(0);
  });

  test("gets a call whose intent came after its outcome when both are there, and no intent alone, nor that one was told again", async () => {
    const late = callOf();
    const open = callOf();
    await store(open.intent, late.outcome);
    await store(late.intent, { ...late.outcome, seq: 7 });
    const { dispatcher } = startReplica();
    dispatcher.configure(sections(toReceiver()));
    await untilTaken([late.intent["call"] + ".i"]);
    expect(receiver.records.find(({ id }) => id === `${String(late.intent["call"])}.i`)).toMatchObject({
      ...{ state: "done", agentId: "sentinel-1", status: 200 },
    });
    expect(receiver.records.some(({ correlationId }) => correlationId === open.intent["call"])).toBe(false);
    expect(receiver.records.some(({ type }) => type === "emitter")).toBe(false);
  });

  test("that is away gets all of it, in order, once it is back, after as long as it asked for; others get theirs meanwhile", async () => {
    const other = await receive();
    const { dispatcher, metric } = startReplica();
    dispatcher.configure(sections(toReceiver(), toReceiver({ name: "lake", url: other.url })));
    const before = await makeCalls(3);
    await Promise.all([untilTaken(before), untilTaken(before, other)]);
    await receiver.stop();
    const during = await makeCalls(5);
    await untilTaken(during, other);
    await vi.waitFor(async () => expect(await metric("sluice_audit_destination_up")).toBe(0), patience);
    expect(dispatcher.followers.find(({ place }) => place.name === "siem")?.problem).toBe("ECONNREFUSED");
    receiver.answer = () => ({ status: receiver.refused.length < 3 ? 503 : 200, headers: { "retry-after": "1" } });
    await receiver.start();
    await untilTaken(during);
    expect(receiver.ids).toEqual([...before, ...during]);
    expect(receiver.refused).toHaveLength(3);
    await vi.waitFor(async () => expect(await metric("sluice_audit_destination_up")).toBe(1), patience);
  });

  test("that refuses one record gets all others; that one is kept apart with the reason", async () => {
    const ids = await makeCalls(10);
    const [poison = ""] = ids.slice(6);
    receiver.answer = ({ body }) => ({ status: body.includes(poison) ? 400 : 200 });
    const { dispatcher, buried, metric } = startReplica();
    dispatcher.configure(sections(toReceiver()));
    const others = ids.filter((id) => id !== poison);
    await untilTaken(others);
    expect(receiver.ids).toEqual(others);
    expect(buried).toEqual([
      { reason: "destination siem: the destination refuses it: HTTP 400", text: expect.stringContaining(poison) },
    ]);
    expect(await metric("sluice_audit_destination_dead_letters_total")).toBe(1);
    await vi.waitFor(async () => expect(await placeOf()).toBe(20), patience);
  });

  test("that refuses everything is wrong itself: no more than ten records are kept apart, and the rest waits", async () => {
    const ids = await makeCalls(30);
    receiver.answer = () => ({ status: 422 });
    const { dispatcher, buried } = startReplica();
    dispatcher.configure(sections(toReceiver()));
    await vi.waitFor(() => expect(dispatcher.followers[0]?.problem).toBe("it refuses every record"), patience);
    expect(buried).toHaveLength(10);
    receiver.answer = () => ({ status: 200 });
    await untilTaken(ids.slice(10));
    expect(receiver.ids).toEqual(ids.slice(10));
  });

  test("that answers 401, 403, 404 or redirects is mended by its operator: nothing is given up", async () => {
    const ids = await makeCalls(2);
    const statuses = [401, 403, 404, 307, 302, 429, 408];
    receiver.answer = () => ({ status: statuses.shift() ?? 200, headers: { location: `${receiver.url}/elsewhere` } });
    const { dispatcher, buried } = startReplica();
    dispatcher.configure(sections(toReceiver()));
    await untilTaken(ids);
    expect(receiver.refused).toHaveLength(7);
    expect([...receiver.refused, ...receiver.taken].map(({ path }) => path)).not.toContain(
      "/v1/agent-events/elsewhere",
    );
    expect(buried).toEqual([]);
  });
});

describe("configuration", () => {
  test("a new destination begins with what comes, or with what is there where it says so", async () => {
    await makeCalls(2);
    const all = await receive();
    const { dispatcher } = startReplica();
    dispatcher.configure(sections(toReceiver({ from: "now" }), toReceiver({ name: "all", url: all.url })));
    await vi.waitFor(async () => expect(await placeOf("all")).toBe(4), patience);
    const ids = await makeCalls(2);
    await Promise.all([untilTaken(ids), untilTaken(ids, all)]);
    expect([receiver.ids, all.ids.length]).toEqual([ids, 4]);
  });

  test("a destination that moves, goes and comes back loses nothing: its place is its name's", async () => {
    const { dispatcher } = startReplica();
    dispatcher.configure(sections(toReceiver()));
    const first = await makeCalls(2);
    await untilTaken(first);
    const elsewhere = await receive();
    dispatcher.configure(sections(toReceiver({ url: elsewhere.url, format: "cloudevents" })));
    const second = await makeCalls(2);
    await vi.waitFor(() => expect(elsewhere.ids).toEqual(second), patience);
    expect(elsewhere.taken[0]?.headers["content-type"]).toBe("application/cloudevents-batch+json");
    dispatcher.configure(sections());
    await vi.waitFor(() => expect(dispatcher.followers).toEqual([]), patience);
    const third = await makeCalls(2);
    dispatcher.configure(sections(toReceiver({ from: "now" })));
    await untilTaken(third);
    expect(receiver.ids).toEqual([...first, ...third]);
  });
});

describe("replicas", () => {
  test("share no destination: each record goes once, and another replica goes on where one stops", async () => {
    const [one, two] = [startReplica(), startReplica()];
    for (const { dispatcher } of [one, two]) dispatcher.configure(sections(toReceiver({ batchSize: 2 })));
    const first = await makeCalls(6);
    await untilTaken(first);
    const [server, idle] = one.dispatcher.followers.length > 0 ? [one, two] : [two, one];
    expect(idle.dispatcher.followers).toEqual([]);
    await server.stop();
    const second = await makeCalls(4);
    await untilTaken(second);
    expect(receiver.ids).toEqual([...first, ...second]);
  });

  test("A37: what a connection that broke was doing, another goes on with: nothing is lost, and doubles have the same id", async () => {
    const [one, two] = [startReplica(), startReplica()];
    for (const { dispatcher } of [one, two]) dispatcher.configure(sections(toReceiver({ batchSize: 2 })));
    const first = await makeCalls(4);
    await untilTaken(first);
    await owner.query(
      "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'destinations' and pid <> pg_backend_pid()",
    );
    const second = await makeCalls(8);
    await untilTaken(second);
    const distinct = [...new Set(receiver.ids)];
    expect(distinct).toEqual([...first, ...second]);
  });
});
