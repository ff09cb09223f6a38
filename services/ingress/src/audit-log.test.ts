import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { AuditLog, Bus, ensureTopology } from "@sluice/bus";
import { decodeJson, subjects, type Intent, type TrailBatch, type TrailEvent } from "@sluice/contracts";
import { startNats } from "@sluice/launcher";
import { until } from "@sluice/testing";
import { afterEach, beforeEach, expect, it } from "vitest";
import { Admission } from "./admission.ts";
import { CountedCalls } from "./counted-calls.ts";
import { Leases } from "./leases.ts";

const mebibyte = 1024 * 1024;
const trailSizes = { trailMaxBytes: 8 << 20, trailMaxAgeMs: 60_000 };
const sizes = { auditMaxBytes: 64 * mebibyte, repliesMaxBytes: 8 * mebibyte, repliesMaxAgeMs: 60_000 };
let scope: AsyncDisposableStack;
let bus: Bus;
let heard: { readonly bytes: number; readonly events: readonly TrailEvent[] }[];

beforeEach(async () => {
  scope = new AsyncDisposableStack();
  heard = [];
  const dataDir = await mkdtemp(join(tmpdir(), "sluice-audit-log-"));
  scope.defer(() => rm(dataDir, { recursive: true, force: true }));
  const nats = await startNats({ dataDir, env: { ...process.env, NATS_URL: "" } });
  scope.defer(() => nats.stop());
  bus = scope.use(await Bus.connect({ url: nats.url, service: "ingress" }));
  const ears = scope.use(await Bus.connect({ url: nats.url, service: "audit" }));
  ears.listen(
    subjects.auditAll,
    ({ data }) => void heard.push({ bytes: data.length, events: decodeJson<TrailBatch>(data).events }),
  );
  await ears.flush();
}, 120_000);
afterEach(() => scope.disposeAsync());

/** From now on there is an AUDIT stream; what was heard before is not stored. */
async function store(): Promise<void> {
  heard = [];
  await ensureTopology(bus, { ...sizes, ...trailSizes, replicas: 1, pushMaxBytes: 8 * mebibyte, pushMaxWaiting: 100 });
}

const events = () => heard.flatMap((batch) => batch.events);
const numbers = () => [...new Set(events().map(({ seq = 0 }) => seq))].toSorted((one, other) => one - other);
const upTo = (last: number) => Array.from({ length: last }, (_, at) => at + 1);
const outcome = (call: string) =>
  ({
    event: "outcome",
    call,
    tenant: "acme",
    at: 1,
    decision: "allow",
    status: 200,
    durationMs: 1,
    bytes: 0,
    by: "i1",
  }) as const;
const intent: Intent = {
  ...{ call: "i1-0", at: 1, label: "mcp_proxy", tenant: "acme", agent: { id: "a-1" }, auth: "apiKey", protocol: "mcp" },
  ...{ era: "legacy", http: "POST", path: "/mcp", method: "ping", server: "main", trace: "t", bytes: 1 },
};

it("A34: an emitter's events have numbers of one row, from its first word to its last, and come in their order in messages that NATS takes", async () => {
  await store();
  const log = new AuditLog(bus);
  for (let number = 0; number < 200; number++) {
    log.add(outcome(`i1-${number}`));
    if (number % 50 === 0)
      log.add({
        event: "content",
        ...{ call: `i1-${number}`, at: 1, tenant: "acme", part: "request", bytes: 1, data: "x".repeat(700_000) },
      });
  }
  await log[Symbol.asyncDispose]();
  await until("all are heard", () => events().length === 206);
  expect(events().map(({ seq }) => seq)).toEqual(upTo(206));
  expect(events()[0]).toMatchObject({ event: "emitter", word: "started", service: "ingress" });
  expect(events().at(-1)).toMatchObject({ event: "emitter", word: "stopped", seq: 206 });
  expect(Math.max(...heard.map(({ bytes }) => bytes))).toBeLessThan(mebibyte);
});

it("what no message could carry is on record without what was taken of the call", async () => {
  await store();
  const log = new AuditLog(bus);
  log.add({ ...outcome("i1-1"), captured: { text: "ä".repeat(mebibyte) } });
  await log[Symbol.asyncDispose]();
  await until("all are heard", () => events().length === 3);
  expect(events().find(({ event }) => event === "outcome")).toEqual({ ...outcome("i1-1"), seq: 2 });
});

it("A37: what can't be stored is stored later, with its number, also what somebody waited for in vain", async () => {
  const log = new AuditLog(bus);
  log.add(outcome("i1-1"));
  await expect(
    log.addNow({ event: "action", id: "a-1", at: 1, action: "keys.create", result: "begun" }),
  ).rejects.toThrow("cannot be written");
  log.add(outcome("i1-2"));
  await store();
  await log[Symbol.asyncDispose]();
  await until("all are heard", () => numbers().length === 5);
  expect(numbers()).toEqual(upTo(5));
  expect(events().map(({ event }) => event)).toContain("action");
});

it("A34: a call that nobody admitted, because its intent was not stored, is on record as soon as that is possible", async () => {
  const log = new AuditLog(bus);
  const counted = scope.use(new CountedCalls(bus));
  const leases = scope.use(new Leases(counted));
  const admission = new Admission({ bus, audit: log, leases, counted, timeoutMs: 300 });
  await expect(admission.ask({ ...intent })).rejects.toMatchObject({ kind: "unavailable" });
  log.add(outcome(intent.call));
  await store();
  await until("the outcome is told", () => events().some(({ event }) => event === "outcome"));
  const told = events().filter(({ event }) => event !== "emitter");
  expect(told.map(({ event, seq }) => [event, seq])).toEqual([
    ["intent", 2],
    ["outcome", 3],
  ]);
  await log[Symbol.asyncDispose]();
  await until("all are heard", () => numbers().length === 4);
  expect(numbers()).toEqual(upTo(4));
});
