import { startTestHouse, type TestHouse } from "@sluice/testing";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startAgent, type AgentVersion, type ReferenceAgent } from "../conformance-a2a/agents/agent.ts";
import { caller, restBody, rpcBody, rpcOf, sendBody, speaking, taskOf, tenantWith } from "./a2a.ts";
import { send } from "./http.ts";

const versions = ["1.0", "0.3", "0.1"] as const satisfies AgentVersion[];
const nameOf = { "1.0": "one", "0.3": "three", "0.1": "first" } as const;
const restOf = { "1.0": "", "0.3": "/v1" } as const;
const agents = {} as Record<(typeof versions)[number], ReferenceAgent>;
let house: TestHouse;

const at = (path: string) => `${house.house.url}/a2a/${path}`;
const last = (version: (typeof versions)[number]) => agents[version].ledger.exchanges.at(-1);

beforeAll(async () => {
  for (const version of versions) agents[version] = await startAgent(version);
  house = await startTestHouse({
    tenants: {
      acme: tenantWith({
        one: { agent: agents["1.0"] },
        three: { agent: agents["0.3"] },
        first: { agent: agents["0.1"] },
        "one-rest": { agent: agents["1.0"], binding: "HTTP+JSON" },
        "three-rest": { agent: agents["0.3"], binding: "HTTP+JSON" },
      }),
    },
  });
});
afterAll(async () => {
  await house?.[Symbol.asyncDispose]();
  for (const agent of Object.values(agents)) await agent[Symbol.asyncDispose]();
});

it.each([
  ["one", { "a2a-version": "0.3" }],
  ["one", {}],
] as const)("an error of the agent '%s' is an event to a 0.3 client that subscribes (%o)", async (name, version) => {
  const ask = caller(at(name), house.key("a-1"));
  const { id } = taskOf(await ask(sendBody("0.3", "echo over")));
  const headers = { ...version, accept: "text/event-stream" };
  const { status, headers: told, text } = await ask(rpcBody("tasks/resubscribe", { id }, 7), headers);
  expect([status, told["content-type"]]).toEqual([200, "text/event-stream"]);
  expect(text).toMatch(/^(?:event: error\n)?data: \{"jsonrpc":"2.0","id":7,"error":\{"code":-32/);
});

describe("a call in the agent's own revision", () => {
  it.each(versions)("by JSON-RPC of %s passes byte for byte, there and back", async (version) => {
    const ask = caller(at(nameOf[version]), house.key("a-1"));
    const headers = { "a2a-version": version };
    const body = sendBody(version, "echo ä€😀", { "x-unknown": 1.5 }, "an id");
    const sent = await ask(body, headers);
    expect(sent.status).toBe(200);
    expect(last(version)?.body.toString()).toBe(body);
    expect(sent.text).toBe(last(version)?.answer.body.toString());
    const { id } = taskOf(sent);
    const [get, cancel] = version === "1.0" ? ["GetTask", "CancelTask"] : ["tasks/get", "tasks/cancel"];
    for (const method of [get, cancel]) {
      const answer = await ask(rpcBody(method as string, { id }), headers);
      expect(answer.status, method).toBe(200);
      expect(answer.text, method).toBe(last(version)?.answer.body.toString());
    }
  });

  it.each(["1.0", "0.3"] as const)("by REST of %s passes byte for byte, there and back", async (version) => {
    const base = `${at(`${nameOf[version]}-rest`)}${restOf[version]}`;
    const headers = speaking(house.key("a-1"), { "a2a-version": version, "content-type": "application/json" });
    const body = restBody(version, "echo ä€😀");
    const sent = await send(`${base}/message:send`, { headers, body });
    expect(sent.status).toBe(last(version)?.answer.status);
    expect(last(version)?.body.toString()).toBe(body);
    expect(sent.text).toBe(last(version)?.answer.body.toString());
    const { id } = (JSON.parse(sent.text) as { task: { id: string } }).task;
    const got = await send(`${base}/tasks/${id}?historyLength=1`, { method: "GET", headers });
    expect([got.status, got.text]).toEqual([200, last(version)?.answer.body.toString()]);
    expect(last(version)?.path).toMatch(new RegExp(`/tasks/${id}\\?historyLength=1$`));
    const cancelled = await send(`${base}/tasks/${id}:cancel`, { headers });
    expect(cancelled.status).toBe(last(version)?.answer.status);
    expect(cancelled.text).toBe(last(version)?.answer.body.toString());
  });

  it("takes application/a2a+json", async () => {
    const headers = speaking(house.key("a-1"), { "a2a-version": "1.0", "content-type": "application/a2a+json" });
    const answer = await send(at("one-rest/message:send"), { headers, body: restBody("1.0", "echo x") });
    expect(answer.status).toBe(200);
    expect(answer.headers["content-type"]).toMatch(/^application\/(a2a\+)?json/);
  });

  it("takes the version from the query, and an address that ends with a slash", async () => {
    const ask = caller(`${at("one")}/?A2A-Version=1.0`, house.key("a-1"));
    expect(rpcOf(await ask(sendBody("1.0", "echo x"))).result).toHaveProperty("task.id");
  });

  it("hands extensions on in both directions", async () => {
    const ask = caller(at("one"), house.key("a-1"));
    await ask(sendBody("1.0", "echo x"), { "a2a-version": "1.0", "a2a-extensions": "https://example.com/e/v1" });
    expect(last("1.0")?.headers["a2a-extensions"]).toBe("https://example.com/e/v1");
  });
});

describe("what the gateway itself refuses", () => {
  const ask = (path: string, body: string, more = {}) => caller(at(path), house.key("a-1"))(body, more);

  it("is told as JSON-RPC tells errors, as REST of 1.0 does, and as REST of 0.3 does", async () => {
    const rpc = await ask("nobody", sendBody("1.0", "x", {}, 7), { "a2a-version": "1.0" });
    expect(rpc.status).toBe(404);
    expect(rpcOf(rpc).error).toMatchObject({ code: 1404, message: "this tenant has no such agent" });
    const rest = await ask("nobody/message:send", restBody("1.0", "x"), { "a2a-version": "1.0" });
    expect(rest.status).toBe(404);
    expect(JSON.parse(rest.text).error).toMatchObject({ code: 404, message: "this tenant has no such agent" });
    const old = await ask("nobody/v1/message:send", restBody("0.3", "x"));
    expect([old.status, JSON.parse(old.text).message]).toEqual([404, "this tenant has no such agent"]);
  });

  it("names unknown methods, revisions and paths in the words of A2A", async () => {
    const unknown = await ask("one", rpcBody("tasks/frob", {}, 7));
    expect([unknown.status, rpcOf(unknown).error?.code]).toEqual([200, -32601]);
    const version = await ask("one", sendBody("1.0", "x"), { "a2a-version": "7.3" });
    expect(rpcOf(version).error?.code).toBe(-32009);
    expect((await ask("one-rest/frobs", "{}", { "a2a-version": "1.0" })).status).toBe(404);
  });

  it("says by which methods an address is reached", async () => {
    const { status, headers } = await send(at("one"), { method: "GET", headers: speaking(house.key("a-1")) });
    expect([status, headers["allow"]]).toEqual([405, "POST"]);
  });
});

describe("seed 001's paths", () => {
  const tasks = (path: string, body?: object, headers = {}) =>
    send(at(`tasks/${path}`), {
      method: body === undefined ? "GET" : "POST",
      headers: speaking(house.key("a-1"), headers),
      ...(body !== undefined && { body: JSON.stringify(body) }),
    });
  const params = (version: "0.1" | "0.3" | "1.0", text: string) =>
    (JSON.parse(sendBody(version, text)) as { params: object }).params;

  it("take JSON-RPC of the path's method and answer it as the agent's own address does", async () => {
    const answer = await tasks("send", JSON.parse(sendBody("1.0", "echo x", {}, "mine")) as object, {
      "a2a-version": "1.0",
    });
    expect([answer.status, answer.text]).toEqual([200, last("1.0")?.answer.body.toString()]);
    const wrong = await tasks("cancel", JSON.parse(sendBody("1.0", "x", {}, 3)) as object, { "a2a-version": "1.0" });
    expect([wrong.status, JSON.parse(wrong.text).id]).toEqual([200, 3]);
    expect(rpcOf(wrong).error?.message).toContain("this path is for tasks/cancel alone");
  });

  it("take the parameters alone and answer with the result alone; errors by their status", async () => {
    const sent = await tasks("send", params("1.0", "echo plain"));
    expect(sent.status).toBe(200);
    const { task } = JSON.parse(sent.text) as { task: { id: string } };
    const got = await tasks(`get?id=${task.id}&historyLength=0`, undefined, { "a2a-version": "1.0" });
    expect([got.status, (JSON.parse(got.text) as { id: string }).id]).toEqual([200, task.id]);
    const asked = await tasks("get", { id: task.id }, { "a2a-version": "1.0" });
    expect((JSON.parse(asked.text) as { id: string }).id).toBe(task.id);
    const unknown = await tasks("get?id=nobody's", undefined, { "a2a-version": "1.0" });
    expect([unknown.status, JSON.parse(unknown.text)]).toEqual([
      404,
      { error: "task_not_found", message: "Task not found" },
    ]);
    const over = await tasks("cancel", { id: task.id }, { "a2a-version": "1.0" });
    expect([over.status, JSON.parse(over.text).error]).toEqual([409, "conflict"]);
    expect((await tasks("get", undefined)).status).toBe(400);
    expect((await tasks("send", { text: "no message" })).status).toBe(400);
  });
});
