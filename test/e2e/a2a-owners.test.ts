import { randomUUID } from "node:crypto";
import { startTestHouse, until, type TestHouse } from "@sluice/testing";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startAgent, type ReferenceAgent } from "../conformance-a2a/agents/agent.ts";
import { caller, rpcBody, rpcOf, sendBody, speaking, taskOf, tenantWith } from "./a2a.ts";
import { send, type Answer } from "./http.ts";

let agent: ReferenceAgent;
let oldest: ReferenceAgent;
let house: TestHouse;

const at = (path: string) => `${house.house.url}/a2a/${path}`;
const rpc = (method: string, params: object) => ({ body: rpcBody(method, params) });

beforeAll(async () => {
  [agent, oldest] = await Promise.all([startAgent("1.0"), startAgent("0.1")]);
  house = await startTestHouse({
    tenants: {
      acme: tenantWith({
        one: { agent },
        first: { agent: oldest },
        again: { agent },
        "first-again": { agent: oldest },
      }),
      other: tenantWith({ one: { agent }, first: { agent: oldest } }),
    },
    replicas: { ingress: 2, "session-manager": 2 },
  });
});
afterAll(async () => {
  await house?.[Symbol.asyncDispose]();
  await Promise.all([agent, oldest].map((one) => one?.[Symbol.asyncDispose]()));
});

interface Naming {
  readonly path?: string;
  readonly method?: string;
  readonly version?: string;
  readonly body?: string;
}

const part = { "0.3": { kind: "text", text: "echo" }, "1.0": { text: "echo" } };
const message = {
  "0.3": (more: object) => ({
    message: { messageId: "m", kind: "message", role: "user", parts: [part["0.3"]], ...more },
  }),
  "1.0": (more: object) => ({ message: { messageId: "m", role: "ROLE_USER", parts: [part["1.0"]], ...more } }),
};
const hook = { url: "https://93.184.216.34/hook" };
const restMessage = (more: object) =>
  JSON.stringify({ message: { messageId: "m", role: "ROLE_USER", content: [{ text: "echo" }], ...more } });
const json = JSON.stringify;

/** Each operation that names a task, as clients of each revision and binding say it. */
const namings: Readonly<Record<string, (id: string) => Naming>> = {
  "0.1 tasks/get": (id) => ({ version: "0.1", ...rpc("tasks/get", { id }) }),
  "0.1 tasks/cancel": (id) => ({ version: "0.1", ...rpc("tasks/cancel", { id }) }),
  "0.1 tasks/resubscribe": (id) => ({ version: "0.1", ...rpc("tasks/resubscribe", { id }) }),
  "0.1 tasks/pushNotification/get": (id) => ({ version: "0.1", ...rpc("tasks/pushNotification/get", { id }) }),
  "0.1 tasks/pushNotification/set": (id) => ({
    version: "0.1",
    ...rpc("tasks/pushNotification/set", { id, pushNotificationConfig: hook }),
  }),
  "0.3 tasks/get": (id) => rpc("tasks/get", { id }),
  "0.3 tasks/cancel": (id) => rpc("tasks/cancel", { id }),
  "0.3 tasks/resubscribe": (id) => rpc("tasks/resubscribe", { id }),
  "0.3 message/send": (taskId) => rpc("message/send", message["0.3"]({ taskId })),
  "0.3 message/stream": (taskId) => rpc("message/stream", message["0.3"]({ taskId })),
  "0.3 referenceTaskIds": (id) => rpc("message/send", message["0.3"]({ referenceTaskIds: [id] })),
  "0.3 push set": (taskId) => rpc("tasks/pushNotificationConfig/set", { taskId, pushNotificationConfig: hook }),
  "0.3 push get": (id) => rpc("tasks/pushNotificationConfig/get", { id, pushNotificationConfigId: "p" }),
  "0.3 push list": (id) => rpc("tasks/pushNotificationConfig/list", { id }),
  "0.3 push delete": (id) => rpc("tasks/pushNotificationConfig/delete", { id, pushNotificationConfigId: "p" }),
  "0.3 REST get": (id) => ({ path: `/v1/tasks/${id}`, method: "GET" }),
  "0.3 REST cancel": (id) => ({ path: `/v1/tasks/${id}:cancel`, body: "{}" }),
  "0.3 REST send": (taskId) => ({ path: "/v1/message:send", body: restMessage({ taskId }) }),
  "1.0 GetTask": (id) => ({ version: "1.0", ...rpc("GetTask", { id }) }),
  "1.0 CancelTask": (id) => ({ version: "1.0", ...rpc("CancelTask", { id }) }),
  "1.0 SubscribeToTask": (id) => ({ version: "1.0", ...rpc("SubscribeToTask", { id }) }),
  "1.0 SendMessage": (taskId) => ({ version: "1.0", ...rpc("SendMessage", message["1.0"]({ taskId })) }),
  "1.0 SendStreamingMessage": (taskId) => ({
    version: "1.0",
    ...rpc("SendStreamingMessage", message["1.0"]({ taskId })),
  }),
  "1.0 referenceTaskIds": (id) => ({
    version: "1.0",
    ...rpc("SendMessage", message["1.0"]({ referenceTaskIds: [id] })),
  }),
  "1.0 push create": (taskId) => ({ version: "1.0", ...rpc("CreateTaskPushNotificationConfig", { taskId, ...hook }) }),
  "1.0 push get": (taskId) => ({ version: "1.0", ...rpc("GetTaskPushNotificationConfig", { taskId, id: "p" }) }),
  "1.0 push list": (taskId) => ({ version: "1.0", ...rpc("ListTaskPushNotificationConfigs", { taskId }) }),
  "1.0 push delete": (taskId) => ({ version: "1.0", ...rpc("DeleteTaskPushNotificationConfig", { taskId, id: "p" }) }),
  "1.0 REST get": (id) => ({ version: "1.0", path: `/tasks/${id}`, method: "GET" }),
  "1.0 REST cancel": (id) => ({ version: "1.0", path: `/tasks/${id}:cancel`, body: "{}" }),
  "1.0 REST subscribe": (id) => ({ version: "1.0", path: `/tasks/${id}:subscribe`, method: "GET" }),
  "1.0 REST send": (taskId) => ({ version: "1.0", path: "/message:send", body: json(message["1.0"]({ taskId })) }),
  "1.0 REST stream": (taskId) => ({ version: "1.0", path: "/message:stream", body: json(message["1.0"]({ taskId })) }),
  "1.0 REST push get": (id) => ({ version: "1.0", path: `/tasks/${id}/pushNotificationConfigs/p`, method: "GET" }),
  "1.0 REST push list": (id) => ({ version: "1.0", path: `/tasks/${id}/pushNotificationConfigs`, method: "GET" }),
};

async function ask(naming: Naming, key: string): Promise<Answer> {
  const { path = "", method = "POST", version, body } = naming;
  const type = path === "" || version === undefined ? "application/json" : "application/a2a+json";
  const headers = speaking(house.key(key), {
    accept: "*/*",
    ...(version !== undefined && { "a2a-version": version }),
    "content-type": type,
  });
  return send(`${at("one")}${path}`, { method, headers, ...(body !== undefined && { body }) });
}

/** All of an answer but what is new each time, and the id that was asked for. */
function comparable({ everything, status }: Answer, id: string): string {
  return `${status}\n${everything
    .replaceAll(id, "ID")
    .replace(/^Date\n.*$/im, "")
    .replace(/"(?:timestamp|trace|correlationId)":"[^"]*"/g, "")}`;
}

describe("A22: a task of another caller", () => {
  it.each(Object.entries(namings))(
    "is answered like an unknown one by %s, and nothing reaches the agent",
    async (_, naming) => {
      const alice = caller(at("one"), house.key("a-1"));
      const { id } = taskOf(await alice(sendBody("1.0", "echo"), { "a2a-version": "1.0" }));
      const unknown = randomUUID();
      const before = agent.ledger.exchanges.length;
      const [foreign, none] = [await ask(naming(id), "b-1"), await ask(naming(unknown), "b-1")];
      expect(agent.ledger.exchanges).toHaveLength(before);
      expect(comparable(foreign, id)).toBe(comparable(none, unknown));
      const told = foreign.text.replace(/^.*?data: /s, "");
      expect(told).toMatch(/-32001|TASK_NOT_FOUND|"code":404/i);
    },
  );

  it("in a batch of other names of the same call denies it whole: one's own task with another's reference", async () => {
    const [alice, bob] = ["a-1", "b-1"].map((key) => caller(at("one"), house.key(key)));
    const version = { "a2a-version": "1.0" };
    const { id } = taskOf(await (alice as NonNullable<typeof alice>)(sendBody("1.0", "echo"), version));
    const ask_ = bob as NonNullable<typeof bob>;
    const own = taskOf(await ask_(sendBody("1.0", "echo"), version));
    const more = { contextId: own.contextId, referenceTaskIds: [own.id, id] };
    expect(rpcOf(await ask_(sendBody("1.0", "echo", more), version)).error?.code).toBe(-32001);
  });
});

describe("A22: a context of another caller", () => {
  it("stands for another one at the agent, the same each time, and its caller sees the name that it said", async () => {
    const [alice, bob] = ["a-1", "b-1"].map((key) => caller(at("one"), house.key(key))) as [
      ReturnType<typeof caller>,
      ReturnType<typeof caller>,
    ];
    const version = { "a2a-version": "1.0" };
    const { contextId } = taskOf(await alice(sendBody("1.0", "echo"), version));
    const seen: unknown[] = [];
    for (let time = 0; time < 2; time++) {
      const answer = taskOf(await bob(sendBody("1.0", "echo", { contextId }), version));
      expect(answer.contextId).toBe(contextId);
      const body = JSON.parse(agent.ledger.exchanges.at(-1)?.body.toString() ?? "") as {
        params: { message: { contextId: string } };
      };
      seen.push(body.params.message.contextId);
    }
    expect(new Set(seen).size).toBe(1);
    expect(seen[0]).not.toBe(contextId);
    expect(taskOf(await alice(sendBody("1.0", "echo", { contextId }), version)).contextId).toBe(contextId);
  });

  it.each([
    ["by another name of the agent", "again", "first-again", "acme"],
    ["of another tenant with the same agent", "one", "first", "other"],
  ])("stands for another one at the agent for callers %s too, and so does a task id chosen", async (...where) => {
    const [, endpoint, first, tenant] = where;
    const version = { "a2a-version": "1.0" };
    const { contextId } = taskOf(await caller(at("one"), house.key("a-1"))(sendBody("1.0", "echo"), version));
    const bob = caller(at(endpoint), house.key("b-1", tenant));
    expect(taskOf(await bob(sendBody("1.0", "echo", { contextId }), version)).contextId).toBe(contextId);
    const told = agent.ledger.exchanges.at(-1)?.body.toString() ?? "";
    expect(told).toContain('"contextId"');
    expect(told).not.toContain(contextId);
    const id = randomUUID();
    const ids: unknown[] = [];
    for (const [path, key] of [
      ["first", house.key("a-1")],
      [first, house.key("b-1", tenant)],
    ] as const) {
      const answer = await caller(at(path), key)(sendBody("0.1", "input", { id }), { "a2a-version": "0.1" });
      expect(taskOf(answer).id).toBe(id);
      const body = JSON.parse(oldest.ledger.exchanges.at(-1)?.body.toString() ?? "") as { params: { id: string } };
      ids.push(body.params.id);
    }
    expect(ids[0]).toBe(id);
    expect(ids[1]).not.toBe(id);
  });

  it("is one's own by another name of the agent", async () => {
    const version = { "a2a-version": "1.0" };
    const { contextId } = taskOf(await caller(at("one"), house.key("a-1"))(sendBody("1.0", "echo"), version));
    await caller(at("again"), house.key("a-1"))(sendBody("1.0", "echo", { contextId }), version);
    expect(agent.ledger.exchanges.at(-1)?.body.toString()).toContain(contextId);
  });

  it("and a task id of another caller that a client of 0.1 chose are new ones of its own", async () => {
    const id = randomUUID();
    const params = { id, message: { role: "user", parts: [{ type: "text", text: "input" }] } };
    const ids: unknown[] = [];
    for (const key of ["a-1", "b-1", "a-1"]) {
      const answer = await caller(at("first"), house.key(key))(rpcBody("tasks/send", params), { "a2a-version": "0.1" });
      expect(rpcOf(answer).error).toBeUndefined();
      expect(taskOf(answer).id).toBe(id);
      const body = JSON.parse(oldest.ledger.exchanges.at(-1)?.body.toString() ?? "") as { params: { id: string } };
      ids.push(body.params.id);
    }
    expect(ids[0]).toBe(id);
    expect(ids[1]).not.toBe(id);
    expect(ids[2]).toBe(id);
  });
});

it("A22: a task id that a client of 0.1 chose is its own, to get and to cancel, while its blocking send is under way", async () => {
  const alice = caller(at("first"), house.key("a-1"));
  const bob = caller(at("first"), house.key("b-1"));
  const version = { "a2a-version": "0.1" };
  const id = randomUUID();
  const sent = alice(sendBody("0.1", "hang", { id }), version);
  await until("the agent to be at it", () => oldest.gates.waiting.includes(id));
  expect(taskOf(await alice(rpcBody("tasks/get", { id }), version)).id).toBe(id);
  expect(rpcOf(await bob(rpcBody("tasks/cancel", { id }), version)).error?.code).toBe(-32001);
  expect(rpcOf(await alice(rpcBody("tasks/cancel", { id }), version)).result).toMatchObject({
    id,
    status: { state: "canceled" },
  });
  expect(rpcOf(await sent).result).toMatchObject({ id, status: { state: "canceled" } });
});
