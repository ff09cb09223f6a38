import { startTestHouse, until, type TestHouse } from "@sluice/testing";
import { afterAll, beforeAll, expect, it } from "vitest";
import { startAgent, type AgentVersion, type ReferenceAgent } from "../conformance-a2a/agents/agent.ts";
import { tenantWith } from "./a2a.ts";
import { endBy, watchers } from "./a2a-stream-wire.ts";
import { listen, type EventReader } from "./wire.ts";

const stack = new AsyncDisposableStack();
const agents = {} as Record<AgentVersion, ReferenceAgent>;
const versions = ["1.0", "0.3", "0.1"] as const;
const nameOf = { "1.0": "one", "0.3": "three", "0.2": "two", "0.1": "first" } as const;
let house: TestHouse;

beforeAll(async () => {
  for (const version of versions) agents[version] = stack.use(await startAgent(version));
  const behind = Object.fromEntries(versions.map((version) => [nameOf[version], { agent: agents[version] }]));
  house = stack.use(
    await startTestHouse({
      tenants: {
        acme: tenantWith({ ...behind, "one-rest": { agent: agents["1.0"], binding: "HTTP+JSON" } }),
      },
      replicas: { ingress: 2, egress: 2 },
    }),
  );
});
afterAll(() => stack.disposeAsync());

type Dialect = "1.0" | "0.3" | "0.1" | "1.0 REST" | "0.3 REST";
const urlOf = (name: string, ingress: number) => `${house.house.of("ingress")[ingress]?.url}/a2a/${name}`;

/** A body of each dialect that begins a stream. */
function opening(dialect: Dialect, text: string, task: string) {
  const messageId = crypto.randomUUID();
  const rpc = (method: string, params: object) => ({ rest: "", body: { jsonrpc: "2.0", id: dialect, method, params } });
  const of03 = { kind: "message", messageId, role: "user", parts: [{ kind: "text", text }] };
  switch (dialect) {
    case "1.0":
      return rpc("SendStreamingMessage", { message: { messageId, role: "ROLE_USER", parts: [{ text }] } });
    case "0.3":
      return rpc("message/stream", { message: of03 });
    case "0.1":
      return rpc("tasks/sendSubscribe", { id: task, message: { role: "user", parts: [{ type: "text", text }] } });
    case "1.0 REST":
      return { rest: "/message:stream", body: { message: { messageId, role: "ROLE_USER", parts: [{ text }] } } };
    case "0.3 REST":
      return { rest: "/v1/message:stream", body: { message: { messageId, role: "ROLE_USER", content: [{ text }] } } };
  }
}

function subscription(dialect: Dialect, id: string) {
  const rpc = (method: string) => ({ rest: "", body: { jsonrpc: "2.0", id: dialect, method, params: { id } } });
  if (dialect === "1.0") return rpc("SubscribeToTask");
  if (dialect === "0.3" || dialect === "0.1") return rpc("tasks/resubscribe");
  return { rest: `${dialect === "0.3 REST" ? "/v1" : ""}/tasks/${id}:subscribe`, body: undefined };
}

const read = (dialect: Dialect, name: string, ingress: number, { rest, body }: { rest: string; body: unknown }) =>
  listen({
    url: `${urlOf(name, ingress)}${rest}`,
    key: house.key("a-1"),
    headers: {
      ...(body !== undefined && { "content-type": "application/json" }),
      "a2a-version": dialect.slice(0, 3),
    },
    method: body === undefined ? "GET" : "POST",
    body,
  });

interface Told {
  readonly chunks: readonly string[];
  readonly states: readonly string[];
  readonly tasks: readonly string[];
}

interface Status {
  readonly id?: string;
  readonly taskId?: string;
  readonly status: { readonly state: string };
}
interface Whole extends Status {
  readonly artifacts?: readonly Artifact[];
}
interface Artifact {
  readonly parts?: readonly { readonly text?: string }[];
}
/** An event of any dialect, without its envelope. */
interface Payload extends Partial<Whole> {
  readonly kind?: string;
  readonly task?: Whole;
  readonly statusUpdate?: Status;
  readonly artifactUpdate?: { readonly artifact: Artifact };
  readonly artifact?: Artifact;
}

const textsOf = ({ parts = [] }: Artifact) => parts.map(({ text = "" }) => text);

/** What a stream of any dialect tells: the texts of artifacts from where the task was told whole last, and all states. */
function told(reader: Pick<EventReader, "events">): Told {
  let chunks: string[] = [];
  const states: string[] = [];
  const tasks: string[] = [];
  for (const { data } of reader.events) {
    const event = JSON.parse(data) as { readonly result?: Payload } & Payload;
    const payload = event.result ?? event;
    const task = payload.task ?? (payload.kind === "task" ? (payload as Whole) : undefined);
    const status = task ?? payload.statusUpdate ?? (payload.status === undefined ? undefined : (payload as Status));
    const artifact = payload.artifactUpdate?.artifact ?? payload.artifact;
    if (task !== undefined) chunks = (task.artifacts ?? []).flatMap(textsOf);
    else if (artifact !== undefined) chunks.push(...textsOf(artifact));
    if (status === undefined) continue;
    states.push(status.status.state);
    tasks.push(status.taskId ?? status.id ?? "");
  }
  return { chunks, states, tasks };
}

/** Since 0.2 a stream begins with the task, which is in a context. */
function expectTaskFirst({ events }: Pick<EventReader, "events">): void {
  const event = JSON.parse(events[0]?.data ?? "{}") as { readonly result?: Payload } & Payload;
  const payload = event.result ?? event;
  const task = payload.task ?? payload;
  expect(payload.task !== undefined || payload.kind === "task").toBe(true);
  expect(task).toMatchObject({
    id: expect.stringMatching(/./) as string,
    contextId: expect.stringMatching(/./) as string,
  });
}

const chunks = (to: number) => Array.from({ length: to }, (_, at) => `chunk ${at + 1};`);
const dialects: readonly Dialect[] = ["1.0", "0.3", "0.1", "1.0 REST", "0.3 REST"];
const cells = ["one", "three", "first", "one-rest"].flatMap((name) =>
  dialects.map((dialect) => [dialect, name] as const),
);

it.each(cells)(
  "a stream begun by a client of %s at the agent '%s' is read by clients of every dialect, from where they join",
  async (dialect, name) => {
    const agent = name === "three" ? agents["0.3"] : name === "first" ? agents["0.1"] : agents["1.0"];
    const own = crypto.randomUUID();
    const first = await read(dialect, name, 0, opening(dialect, "chunks 6", own));
    await until("the first events", () => told(first).states.length >= 1);
    const task = told(first).tasks[0] ?? "";
    agent.gates.release({ count: 2 });
    await until("two chunks", () => told(first).chunks.length >= 2);
    const others = await Promise.all(dialects.map((one, at) => read(one, name, at % 2, subscription(one, task))));
    for (const other of others) await until("what was before", () => told(other).chunks.length >= 2);
    agent.gates.release({ count: 4 });
    for (const [at, reader] of [first, ...others].entries()) {
      expect(await reader.finished()).toBe("end");
      if (([dialect, ...dialects][at] ?? dialect) !== "0.1") expectTaskFirst(reader);
      const { chunks: texts, states, tasks } = told(reader);
      expect(texts).toEqual(chunks(6));
      expect(states.at(-1)?.toLowerCase()).toMatch(/completed$/);
      expect(new Set(tasks)).toEqual(new Set([task]));
    }
    if (dialect === "0.1") expect(task).toBe(own);
  },
);

it("a task that begins by a stream at an agent of 0.1 is in the context that its client named, also for who joins", async () => {
  const contextId = crypto.randomUUID();
  const message = { messageId: crypto.randomUUID(), role: "ROLE_USER", parts: [{ text: "chunks 2" }], contextId };
  const body = { jsonrpc: "2.0", id: 1, method: "SendStreamingMessage", params: { message } };
  const first = await read("1.0", "first", 0, { rest: "", body });
  await until("the first events", () => told(first).states.length >= 1);
  const joined = await read("1.0", "first", 1, subscription("1.0", told(first).tasks[0] ?? ""));
  await until("the task", () => told(joined).states.length >= 1);
  agents["0.1"].gates.release({ count: 2 });
  for (const reader of [first, joined]) {
    expect(await reader.finished()).toBe("end");
    expectTaskFirst(reader);
    const contexts = reader.events.map(({ data }) => /"contextId":"([^"]*)"/.exec(data)?.[1]);
    expect(new Set(contexts)).toEqual(new Set([contextId]));
  }
});

it("A21: egress killed with -9 under readers of three revisions on two replicas of ingress: each goes on with the task as it is, in its own words", async () => {
  const agent = agents["1.0"];
  const first = await read("1.0", "one", 0, opening("1.0", "chunks 10", ""));
  await until("the first events", () => told(first).states.length >= 2);
  const task = told(first).tasks[0] ?? "";
  const readers = [
    first,
    ...(await Promise.all(
      (["0.3", "0.1", "1.0 REST"] as const).map((one, at) => read(one, "one", (at + 1) % 2, subscription(one, task))),
    )),
  ];
  agent.gates.release({ count: 4 });
  for (const reader of readers) await until("four chunks", () => told(reader).chunks.length >= 4);
  const counts = readers.map(({ events }) => events.length);
  for (const replica of await watchers(house)) endBy("SIGKILL", replica);
  await until("more for everybody", () => readers.every(({ events }, at) => events.length > (counts[at] ?? 0)), 20_000);
  agent.gates.release({ count: 6 });
  for (const [at, reader] of readers.entries()) {
    expect(await reader.finished()).toBe("end");
    const behind = { events: reader.events.slice(counts[at]) };
    expect(told(behind).chunks).toEqual(chunks(10));
    expect(told(behind).states.at(-1)?.toLowerCase()).toMatch(/completed$/);
  }
  await house.house.add("egress");
}, 60_000);
