import { answerJson, FakeUpstream, startTestHouse, type ReceivedRequest, type TestHouse } from "@sluice/testing";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { caller, rpcBody, rpcOf, sendBody } from "./a2a.ts";
import { headersV10 as headers, rpc, saying } from "./a2a-stream-wire.ts";
import { listen, send } from "./wire.ts";

const secret = "what Alice asked for";
const stack = new AsyncDisposableStack();
let agent: FakeUpstream;
let house: TestHouse;
/** What the agent tells in the next stream, before it breaks off; undefined: the stream stays open. */
let told: object[] = [];
let breaksOff = false;
/** What `GetTask` gives. */
let had: object = {};

const taskOf = (who: string, more: object = {}) => ({
  ...{ id: `task of ${who}`, contextId: `context of ${who}`, status: { state: "TASK_STATE_WORKING" } },
  ...{ artifacts: [{ artifactId: "a", parts: [{ text: who === "alice" ? secret : "bob's own" }] }], ...more },
});
const parts = [{ text: secret }];
const status = { state: "TASK_STATE_WORKING", message: { messageId: "m", role: "ROLE_AGENT", parts } };
const artifact = { artifactId: "a", parts };

function serve({ message }: ReceivedRequest, response: Parameters<typeof answerJson>[0]): void {
  const { id, method } = message ?? {};
  if (method === "SendMessage") return answerJson(response, { jsonrpc: "2.0", id, result: { task: taskOf("alice") } });
  if (method === "GetTask") return answerJson(response, { jsonrpc: "2.0", id, result: had });
  if (method === "SubscribeToTask")
    return answerJson(response, { jsonrpc: "2.0", id, error: { code: -32004, message: "no" } });
  response.writeHead(200, { "content-type": "text/event-stream" });
  const events = told.map((result) => `data: ${JSON.stringify({ jsonrpc: "2.0", id, result })}\n\n`);
  response.write(events.join(""), () => void (breaksOff && response.destroy()));
}

beforeAll(async () => {
  agent = stack.use(await FakeUpstream.start(serve));
  const endpoint = { name: "mixed", url: agent.url, version: "1.0", binding: "JSONRPC" };
  house = stack.use(
    await startTestHouse({
      tenants: { acme: { agents: ["alice-1", "bob-1"], accessRules: [], a2a: { endpoints: [endpoint] } } },
    }),
  );
  expect((await caller(url(), house.key("alice-1"))(sendBody("1.0", "go"), headers)).status).toBe(200);
});
afterAll(() => stack.disposeAsync());
beforeEach(() => {
  agent.requests.length = 0;
  breaksOff = false;
  had = taskOf("bob");
});

const url = () => `${house.house.url}/a2a/mixed`;
const bobs = () => ({
  url: url(),
  key: house.key("bob-1"),
  headers,
  body: rpc("SendStreamingMessage", saying("go")),
});

describe("A22: a stream shows its own task alone", () => {
  it.each<[string, object]>([
    ["another caller's task", { task: taskOf("alice") }],
    ["a task that nobody has", { task: taskOf("bob", { id: "nobody's", artifacts: [artifact] }) }],
    ["another's status", { statusUpdate: { taskId: "task of alice", contextId: "context of bob", status } }],
    ["another's artifact", { artifactUpdate: { taskId: "task of alice", contextId: "context of bob", artifact } }],
    ["another's context", { artifactUpdate: { taskId: "task of bob", contextId: "context of alice", artifact } }],
    ["a message of another's context", { message: { ...status.message, contextId: "context of alice" } }],
  ])("%s ends it with an error", async (_what, event) => {
    told = [{ task: taskOf("bob") }, event];
    const reader = await listen(bobs());
    expect(await reader.finished()).toBe("end");
    expect(reader.messages.length).toBe(2);
    expect(reader.messages[1]?.error).toMatchObject({ message: expect.stringContaining("agent tells of another") });
    expect(JSON.stringify(reader.messages)).not.toContain(secret);
    const unknown = await caller(url(), house.key("bob-1"))(rpcBody("GetTask", { id: "nobody's" }), headers);
    expect(rpcOf(unknown).error?.code).toBe(-32001);
  });

  it.each<[string, object]>([
    ["task", { task: taskOf("alice") }],
    ["context", { task: { ...taskOf("alice"), id: "another of bob" } }],
    ["context, by a message", { message: { ...status.message, contextId: "context of alice" } }],
  ])("begun with another caller's %s it is a 502, and the agent is asked no more", async (_what, event) => {
    told = [event];
    breaksOff = true;
    const answer = await send(bobs());
    expect(answer.status).toBe(502);
    expect(answer.body.toString()).not.toContain(secret);
    expect(agent.requests.map(({ message }) => message?.method)).toEqual(["SendStreamingMessage"]);
  });

  it("asked for after it broke off, another task ends it with an error", async () => {
    told = [{ task: taskOf("bob") }];
    breaksOff = true;
    had = taskOf("alice");
    const reader = await listen(bobs());
    expect(await reader.finished()).toBe("end");
    expect(reader.messages.length).toBe(2);
    expect(reader.messages[1]?.error).toBeDefined();
    expect(JSON.stringify(reader.messages)).not.toContain(secret);
  });
});
