import { AuditLog, store, type Bus } from "@sluice/bus";
import { encodeJson, subjects, type StreamEvent } from "@sluice/contracts";
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { patience, startReplica, TrailBus, type TrailDatabase, TrailDatabases, type Replica } from "./trail-world.ts";

const scope = new AsyncDisposableStack();
let bus: TrailBus;
let egress: Bus;
let audit: AuditLog;
let database: TrailDatabase;
let replica: Replica;

beforeAll(async () => {
  const databases = scope.use(await TrailDatabases.start(process.env));
  bus = scope.use(await TrailBus.start(process.env));
  await bus.ensureStreams();
  database = scope.use(await databases.create());
  egress = scope.use(await bus.connect("egress"));
  audit = scope.use(new AuditLog(egress));
  replica = await startReplica({ bus, url: database.url, scope });
}, 120_000);

afterAll(() => scope.disposeAsync());

const rows = (text: string) => database.rows(text);
const untilRows = (text: string, expected: unknown) =>
  vi.waitFor(async () => expect(await rows(text).catch(() => [])).toEqual(expected), patience);

function streamEvent(number: number, more: Partial<StreamEvent> = {}): StreamEvent & { event: "stream" } {
  const at = { at: 1_000 + number, tenant: "acme", server: "planner", task: "t-1" };
  return { event: "stream", call: "i1-1", number, kind: "statusUpdate", bytes: 10, by: "e1", ...at, ...more };
}

test("A34: a call by A2A has its dialect, what it names, the kind of its message, and the state and task that came of it", async () => {
  const call = { at: Date.now(), label: "a2a_proxy", tenant: "acme", agent: { id: "a" }, auth: "apiKey" };
  const http = { protocol: "a2a", era: "modern", http: "POST", path: "/a2a/planner", server: "planner", trace: "t" };
  const send = { ...call, ...http, call: "i1-1", method: "SendMessage", bytes: 5 };
  const get = { ...send, call: "i1-2", method: "GetTask" };
  const calls = [
    {
      ...send,
      a2a: { version: "0.3", binding: "HTTP+JSON", context: "c-1", references: ["t-0"], messageKind: "text" },
    },
    { ...get, a2a: { version: "1.0", binding: "JSONRPC", task: "t-1", pushConfig: "p-1" } },
  ];
  const subject = subjects.admit("a2a", { policy: true, limit: true, session: true });
  await store(bus.ingress, { subject, payload: encodeJson({ from: "i1", calls }) }, 5_000);
  const outcome = {
    call: "i1-1",
    tenant: "acme",
    at: 2,
    decision: "allow" as const,
    status: 200,
    durationMs: 1,
    bytes: 5,
    by: "e1",
  };
  audit.add({ event: "outcome", ...outcome, task: "t-1", taskState: "TASK_STATE_WORKING" });
  const columns = `call, label, method, a2a_version, a2a_binding, task, context, push_config, "messageKind", "taskState", state`;
  const common = { label: "a2a_proxy", task: "t-1" };
  await untilRows(`select ${columns} from audit_calls order by call`, [
    {
      ...{
        ...common,
        call: "i1-1",
        method: "SendMessage",
        a2a_version: "0.3",
        a2a_binding: "HTTP+JSON",
        state: "done",
      },
      ...{ context: "c-1", push_config: null, messageKind: "text", taskState: "TASK_STATE_WORKING" },
    },
    {
      ...{ ...common, call: "i1-2", method: "GetTask", a2a_version: "1.0", a2a_binding: "JSONRPC" },
      ...{ context: null, push_config: "p-1", messageKind: null, taskState: null, state: "under way" },
    },
  ]);
});

test("A36: an event of a task's stream is one row, however often it is told", async () => {
  audit.add(streamEvent(1, { kind: "task", taskState: "TASK_STATE_SUBMITTED" }));
  audit.add(streamEvent(2, { kind: "artifactUpdate" }));
  audit.add(streamEvent(1, { kind: "error" }));
  const query = `select call, number, task, kind, "taskState", bytes, emitter from audit_stream_events order by number`;
  const row = { call: "i1-1", task: "t-1", bytes: "10", emitter: egress.instance, taskState: null };
  await untilRows(query, [
    { ...row, number: "1", kind: "task", taskState: "TASK_STATE_SUBMITTED" },
    { ...row, number: "2", kind: "artifactUpdate" },
  ]);
  await vi.waitFor(async () => expect(await replica.metric("sluice_audit_events_repeated_total")).toBe(1), patience);
  expect(await rows("select event_id from audit_events where kind = 'stream' order by 1")).toEqual([
    { event_id: "i1-1.s1" },
    { event_id: "i1-1.s2" },
  ]);
});

test("A36: a stream event that can't be stored goes to the dead letters alone", async () => {
  audit.add(streamEvent(0));
  audit.add(streamEvent(3, { task: undefined as never }));
  audit.add(streamEvent(4, { kind: "content" as never }));
  await vi.waitFor(async () => expect(await replica.metric("sluice_audit_dead_letters_total")).toBe(2), patience);
  await untilRows("select number from audit_stream_events where number not in (1, 2)", [{ number: "3" }]);
});
