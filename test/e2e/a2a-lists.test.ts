import { FakeUpstream, startTestHouse, until, type TestHouse } from "@sluice/testing";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { startAgent, type AgentVersion, type ReferenceAgent } from "../conformance-a2a/agents/agent.ts";
import { rpcBody, rpcOf, sendBody, speaking } from "./a2a.ts";
import { send } from "./http.ts";

interface KeptTask {
  readonly id: string;
  readonly contextId: string;
  state: string;
}

const stack = new AsyncDisposableStack();
const kept = new Map<string, KeptTask>();
const nameOf = { "0.1": "first", "0.3": "third" } as const;
const olds = {} as Record<"0.1" | "0.3", ReferenceAgent>;
let agent: FakeUpstream;
let house: TestHouse;
let asked: Record<string, unknown>[] = [];
let [atOnce, mostAtOnce] = [0, 0];
/** What is answered in place of a task, by its id. */
const instead = new Map<string, object>();

/** An agent whose tasks the test changes and takes away; `context` is what it is told, and `state` what the first part says. */
const play: FakeUpstream["handler"] = async ({ message }, response) => {
  const answer = (body: object) =>
    response
      .setHeader("content-type", "application/json")
      .end(JSON.stringify({ jsonrpc: "2.0", id: message?.id, ...body }));
  const shown = ({ id, contextId, state }: KeptTask) => ({
    ...{ id, contextId, artifacts: [{ artifactId: "a", parts: [{ text: "x" }] }] },
    status: { state: `TASK_STATE_${state}`, timestamp: new Date().toISOString() },
  });
  if (message?.method === "SendMessage") {
    const { contextId, parts } = message.params?.["message"] as { contextId: string; parts: [{ text: string }] };
    const task = { id: `t-${kept.size + 1}`, contextId, state: parts[0].text };
    kept.set(task.id, task);
    return void answer({ result: { task: shown(task) } });
  }
  mostAtOnce = Math.max(mostAtOnce, ++atOnce);
  await new Promise((resolve) => setImmediate(resolve));
  atOnce--;
  asked.push(message?.params ?? {});
  const id = String(message?.params?.["id"]);
  const other = instead.get(id) ?? instead.get("*");
  if (other !== undefined) return void answer(other);
  const task = kept.get(id);
  return void answer(
    task === undefined ? { error: { code: -32001, message: "no such task" } } : { result: shown(task) },
  );
};

beforeAll(async () => {
  agent = stack.use(await FakeUpstream.start(play));
  for (const version of ["0.1", "0.3"] as const) olds[version] = stack.use(await startAgent(version));
  const old = (version: AgentVersion & keyof typeof olds) => ({
    name: nameOf[version],
    url: olds[version].jsonRpcUrl,
    version,
  });
  house = stack.use(
    await startTestHouse({
      tenants: {
        acme: {
          agents: ["a-1", "a-2", "a-3"],
          accessRules: [{ agentPattern: "*", allowedTools: ["*"] }],
          a2a: { endpoints: [{ name: "main", url: agent.url }, old("0.1"), old("0.3")] },
        },
      },
    }),
  );
  for (let number = 0; number < 20; number++) {
    const [caller, context] = [`a-${(number % 2) + 1}`, `c-${(number % 2) + 1}-${number % 3}`];
    const { status } = await call(
      "main",
      caller,
      sendBody("1.0", number < 10 ? "WORKING" : "COMPLETED", { contextId: context }),
    );
    expect(status).toBe(200);
  }
});
afterAll(() => stack.disposeAsync());
beforeEach(() => {
  asked = [];
  instead.clear();
});

const headers = (caller: string) => speaking(house.key(caller), { "a2a-version": "1.0" });
const call = (name: string, caller: string, body: string) =>
  send(`${house.house.url}/a2a/${name}`, { headers: headers(caller), body });

interface Page {
  readonly tasks: readonly {
    readonly id: string;
    readonly contextId: string;
    readonly artifacts?: unknown;
    readonly status: { readonly state: string };
  }[];
  readonly nextPageToken: string;
  readonly pageSize: number;
  readonly totalSize: number;
}
const list = async (params: object, { caller = "a-1", name = "main" } = {}) => {
  const answer = await call(name, caller, rpcBody("ListTasks", params, "list"));
  expect([answer.status, JSON.parse(answer.text).id]).toEqual([200, "list"]);
  return rpcOf(answer).result as unknown as Page;
};
const idsOf = ({ tasks }: Page) => tasks.map(({ id }) => id).toSorted();
const own = (caller: 1 | 2) => [...kept.keys()].filter((id) => Number(id.slice(2)) % 2 === caller % 2).toSorted();

describe("ListTasks", () => {
  it("A22: tells a caller's own tasks, and nobody else's", async () => {
    for (const caller of [1, 2] as const) {
      const page = await list({}, { caller: `a-${caller}` });
      expect(idsOf(page)).toEqual(own(caller));
      expect(page).toMatchObject({ nextPageToken: "", pageSize: 50, totalSize: 10 });
    }
    expect(await list({}, { caller: "a-3" })).toEqual({ tasks: [], nextPageToken: "", pageSize: 50, totalSize: 0 });
    expect(mostAtOnce).toBeLessThanOrEqual(8);
  });

  it("gives page after page, each task once", async () => {
    const seen: string[] = [];
    let pageToken = "";
    do {
      const page = await list({ pageSize: 3, pageToken });
      expect([page.tasks.length <= 3, page.pageSize, page.totalSize]).toEqual([true, 3, 10]);
      seen.push(...page.tasks.map(({ id }) => id));
      pageToken = page.nextPageToken;
    } while (pageToken !== "");
    expect(seen.toSorted()).toEqual(own(1));
  });

  it("filters by context, state and time, by what the agent says now", async () => {
    const inContext = await list({ contextId: "c-1-0" });
    expect(inContext.tasks.length).toBeGreaterThan(2);
    expect(new Set(inContext.tasks.map(({ contextId }) => contextId))).toEqual(new Set(["c-1-0"]));
    const working = await list({ status: "TASK_STATE_WORKING" });
    expect(working.tasks).toHaveLength(5);
    const [first] = working.tasks;
    kept.get(first?.id ?? "")!.state = "FAILED";
    expect(idsOf(await list({ status: "TASK_STATE_WORKING" }))).not.toContain(first?.id);
    await until("the index to know", async () =>
      idsOf(await list({ status: "TASK_STATE_FAILED" })).includes(first?.id ?? ""),
    );
    expect((await list({ statusTimestampAfter: new Date(Date.now() + 60_000).toISOString() })).tasks).toEqual([]);
    expect((await list({ contextId: "c-2-1" })).tasks).toEqual([]);
  });

  it("leaves out what the agent has forgotten, artifacts unless they are wanted, and hands the length of the history on", async () => {
    kept.delete("t-1");
    const plain = await list({ historyLength: 2 });
    expect(idsOf(plain)).toEqual(own(1));
    expect(plain.tasks.some(({ artifacts }) => artifacts !== undefined)).toBe(false);
    expect(new Set(asked.map(({ historyLength }) => historyLength))).toEqual(new Set([2]));
    const whole = await list({ includeArtifacts: true, pageSize: 2 });
    expect(whole.tasks.every(({ artifacts }) => artifacts !== undefined)).toBe(true);
  });

  it("A22: leaves out a task in whose place the agent tells another, whosesoever that is, and takes no note of it", async () => {
    const [first = "", second = "", ...rest] = own(1).filter((id) => kept.has(id));
    const shown = (id: string) => ({ result: { id, contextId: "c", status: { state: "TASK_STATE_FAILED" } } });
    instead.set(first, shown(own(2)[0] ?? "")).set(second, shown("nobody's"));
    expect(idsOf(await list({}))).toEqual(rest);
    const answer = await call("main", "a-1", rpcBody("GetTask", { id: "nobody's" }));
    expect(rpcOf(answer).error?.code).toBe(-32001);
  });

  it("leaves out a task that the agent fails to tell; where it tells none of them, that is its answer", async () => {
    const [first = "", ...rest] = own(1).filter((id) => kept.has(id));
    const failure = { error: { code: -32603, message: "this one is broken" } };
    instead.set(first, failure);
    expect(idsOf(await list({}))).toEqual(rest);
    instead.set("*", failure);
    expect((await call("main", "a-1", rpcBody("ListTasks", {}))).status).toBe(502);
  });

  it("is there by REST too", async () => {
    const query = "status=TASK_STATE_COMPLETED&pageSize=2&includeArtifacts=true";
    const answer = await send(`${house.house.url}/a2a/main/tasks?${query}`, { method: "GET", headers: headers("a-1") });
    expect(answer.status).toBe(200);
    const page = JSON.parse(answer.text) as Page;
    expect([page.tasks.length, page.pageSize]).toEqual([2, 2]);
    expect(page.nextPageToken).not.toBe("");
  });

  it.each<[object, string]>([
    [{ pageSize: 0 }, "pageSize"],
    [{ pageSize: 101 }, "pageSize"],
    [{ pageToken: "mine" }, "pageToken"],
    [{ statusTimestampAfter: "yesterday" }, "statusTimestampAfter"],
    [{ historyLength: -1 }, "historyLength"],
    [{ status: 7 }, "status"],
  ])("says what is wrong with %j", async (params, what) => {
    const answer = await call("main", "a-1", rpcBody("ListTasks", params));
    expect(rpcOf(answer).error).toMatchObject({ code: -32602, message: expect.stringContaining(what) as string });
    expect(asked).toEqual([]);
  });

  it.each(["0.1", "0.3"] as const)("works for agents of %s, which have no such operation", async (version) => {
    const name = nameOf[version];
    for (const text of ["echo 1", "fail"]) expect((await call(name, "a-1", sendBody("1.0", text))).status).toBe(200);
    const { tasks, totalSize } = await list({}, { name });
    expect(totalSize).toBe(2);
    expect(tasks.map(({ status }) => status.state).toSorted()).toEqual(["TASK_STATE_COMPLETED", "TASK_STATE_FAILED"]);
    expect((await list({ status: "TASK_STATE_FAILED" }, { name })).tasks).toHaveLength(1);
    expect((await list({}, { name, caller: "a-2" })).tasks).toEqual([]);
  });
});
