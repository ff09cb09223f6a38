import { gzipSync } from "node:zlib";
import { startTestHouse, type TestHouse } from "@sluice/testing";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { startAgent, type ReferenceAgent } from "../conformance-a2a/agents/agent.ts";
import { caller, restBody, rpcBody, rpcOf, sendBody, speaking, taskOf, tenantWith } from "./a2a.ts";
import { send, type Answer } from "./http.ts";

const limit = 65_536;
let agent: ReferenceAgent;
let house: TestHouse;

beforeAll(async () => {
  agent = await startAgent("1.0");
  const acme = tenantWith(
    { one: { agent }, rest: { agent, binding: "HTTP+JSON" } },
    { settings: { max_payload_bytes: limit } },
  );
  const narrow = tenantWith(
    { one: { agent }, rest: { agent, binding: "HTTP+JSON" } },
    {
      settings: { allowed_methods: ["GET", "POST"], denied_status: 200, hide_denied: true },
      routes: [
        { path: "/a2a/rest", methods: ["GET"] },
        { path: "/a2a/tasks/send", methods: [] },
      ],
      accessRules: [{ agentPattern: "b-1", deniedAgents: ["*"] }],
      limits: [{ path: "/a2a/tasks/send", maxRequests: 2, windowSeconds: 60, agentPattern: "a-1" }],
    },
  );
  house = await startTestHouse({ replicas: { ingress: 2 }, tenants: { acme, narrow } });
});
afterAll(async () => {
  await house?.[Symbol.asyncDispose]();
  await agent?.[Symbol.asyncDispose]();
});
beforeEach(() => agent.ledger.clear());

const url = (path: string, replica = 0) => `${house.house.of("ingress")[replica]?.url}/a2a/${path}`;
const v1 = { "a2a-version": "1.0" };
const post = (path: string, body: string | Buffer, headers = {}) =>
  send(url(path), { headers: speaking(house.key("a-1"), { ...v1, ...headers }), body });
const code = (answer: Answer) => rpcOf(answer).error?.code;

describe("what is read before anything is asked", () => {
  const message = '"message":{"messageId":"m","role":"ROLE_USER","parts":[{"text":"echo x"}]}';
  const twice: Record<string, string> = {
    method: `{"jsonrpc":"2.0","id":1,"method":"SendMessage","method":"GetTask","params":{${message}}}`,
    "method, escaped": `{"jsonrpc":"2.0","id":1,"m\\u0065thod":"GetTask","method":"SendMessage","params":{${message}}}`,
    params: `{"jsonrpc":"2.0","id":1,"method":"SendMessage","params":{${message}},"params":{}}`,
    message: `{"jsonrpc":"2.0","id":1,"method":"SendMessage","params":{${message},"m\\u0065ssage":{}}}`,
    "a task's id": `{"jsonrpc":"2.0","id":1,"method":"GetTask","params":{"id":"one","id":"two"}}`,
    "a task's id in another case": `{"jsonrpc":"2.0","id":1,"method":"GetTask","params":{"id":"one","ID":"two"}}`,
  };
  it.each(Object.entries(twice))("A9: %s told twice is refused by JSON-RPC and not forwarded", async (_name, body) => {
    const answer = await post("one", body);
    expect([-32700, -32602]).toContain(code(answer));
    expect(agent.ledger.hits).toBe(0);
  });

  it("A9: a member told twice is refused by REST and not forwarded", async () => {
    const answer = await post("rest/message:send", `{${message},${message}}`);
    expect(answer.status).toBe(400);
    expect(agent.ledger.hits).toBe(0);
  });

  it("A13: one byte over the limit answers 413, a body of depth 10,000 is refused, and neither is forwarded", async () => {
    const body = sendBody("1.0", "");
    const sized = (bytes: number) => sendBody("1.0", "x".repeat(bytes - body.length));
    for (const path of ["one", "tasks/send"]) expect((await post(path, sized(limit + 1))).status, path).toBe(413);
    expect((await post("rest/message:send", `"${"x".repeat(limit)}"`)).status).toBe(413);
    const deep = `{"jsonrpc":"2.0","id":1,"method":"SendMessage","params":${"[".repeat(10_000)}${"]".repeat(10_000)}}`;
    expect((await post("one", deep)).status).toBe(400);
    expect(agent.ledger.hits).toBe(0);
    expect((await post("one", sized(limit))).status).toBe(200);
  });

  it("A14: a missing or foreign content type, and every content encoding, answers 415 and is not forwarded", async () => {
    const body = sendBody("1.0", "echo x");
    for (const type of ["text/plain", "application/a2a+json", "application/json; charset=utf-16"])
      expect((await post("one", body, { "content-type": type })).status, type).toBe(415);
    expect((await post("rest/message:send", restBody("1.0", "x"), { "content-type": "text/json" })).status).toBe(415);
    const zipped = await post("one", gzipSync(body), { "content-encoding": "gzip" });
    expect(zipped.status).toBe(415);
    const { "content-type": _, ...bare } = speaking(house.key("a-1"), v1);
    expect((await send(url("one"), { headers: bare, body })).status).toBe(415);
    expect(agent.ledger.hits).toBe(0);
  });

  it("A15: spoofed identity, forwarding and bus headers and the agent's key stay behind; Sluice's own stand there", async () => {
    const spoofed = {
      "X-Verified-Agent-Id": "root",
      x_verified_agent_id: "root",
      "x-forwarded-for": "10.0.0.1",
      "nats-msg-id": "1",
      "x-signature": "forged",
      cookie: "a=b",
    };
    expect((await post("one", sendBody("1.0", "echo x"), spoofed)).status).toBe(200);
    const headers = agent.ledger.exchanges.at(-1)?.headers ?? {};
    expect(headers["x-verified-agent-id"]).toBe("a-1");
    expect(JSON.stringify(headers)).not.toMatch(/root|10\.0\.0\.1|forged|a=b|nats-msg-id/);
    expect(JSON.stringify(headers)).not.toContain(house.key("a-1"));
  });

  it("A20: 200 clients in parallel, every request id 0, each get their own answer over two replicas", async () => {
    const asked = Array.from({ length: 200 }, async (_, index) => {
      const ask = caller(url("one", index % 2), house.key(index % 3 === 0 ? "b-1" : "a-1"));
      const answer = await ask(sendBody("1.0", `message number-${index}.`, {}, 0), v1);
      return [answer.status, answer.text.includes(`number-${index}.`), JSON.parse(answer.text).id];
    });
    expect(new Set((await Promise.all(asked)).map(String))).toEqual(new Set(["200,true,0"]));
  });
});

describe("what the tenant left", () => {
  const ask = (path: string, { method = "POST", agentId = "a-1", body = sendBody("1.0", "echo x") } = {}) =>
    send(url(path), {
      method,
      headers: speaking(house.key(agentId, "narrow"), v1),
      ...(method === "POST" && { body }),
    });

  it("P20: of an agent's address holds for what is behind it", async () => {
    const refused = await ask("rest/message:send", { body: restBody("1.0", "x") });
    expect([refused.status, refused.headers["allow"]]).toEqual([405, "GET"]);
    expect((await ask("rest/tasks/7/pushNotificationConfigs/1", { method: "DELETE" })).headers["allow"]).toBe("GET");
    expect((await ask("rest/tasks/nobody", { method: "GET" })).status).toBe(404);
    expect((await ask("tasks/send")).status).toBe(405);
    expect((await ask("one")).status).toBe(200);
  });

  it("hides an agent that the rules deny as one that there is none of", async () => {
    const [hidden, none] = [await ask("one", { agentId: "b-1" }), await ask("none", { agentId: "b-1" })];
    expect([hidden.status, hidden.text]).toEqual([none.status, none.text]);
    expect(JSON.parse(none.text)).toMatchObject({
      id: JSON.parse(sendBody("1.0", "echo x")).id,
      error: { code: 1404 },
    });
    for (const body of ["{", rpcBody("NoMethod", {}), rpcBody("GetTask", {})]) {
      const [one, other] = await Promise.all(["one", "none"].map((at) => ask(at, { body, agentId: "b-1" })));
      expect([one?.status, one?.text], body).toEqual([other?.status, other?.text]);
    }
    const plain = await ask("tasks/get?id=7", { agentId: "b-1", method: "GET" });
    expect([plain.status, JSON.parse(plain.text).error]).toEqual([404, "not_found"]);
  });

  it("counts sends of every revision alike and refuses with status 200 by JSON-RPC, with 429 by REST", async () => {
    const answers = [];
    for (let n = 0; n < 3; n++) answers.push(await ask("one"));
    const refused = answers.at(-1) as Answer;
    expect([refused.status, code(refused)]).toEqual([200, 1429]);
    expect(Number(refused.headers["retry-after"])).toBeGreaterThan(0);
    expect(refused.headers["ratelimit-policy"]).toContain("q=2");
    const get = await ask("one", { body: rpcBody("GetTask", { id: "nobody" }) });
    expect(code(get)).toBe(-32001);
  });

  it("A22: another agent's task is like one that never was, byte for byte, at every operation that names it", async () => {
    const mine = caller(url("one"), house.key("a-1"));
    const foreign = caller(url("one", 1), house.key("b-1"));
    const { id, contextId } = taskOf(await mine(sendBody("1.0", "input", {}, 1), v1));
    expect(contextId).toBeTypeOf("string");
    const bodies = (task: string): string[] => [
      rpcBody("GetTask", { id: task }),
      rpcBody("CancelTask", { id: task }),
      rpcBody("SubscribeToTask", { id: task }),
      rpcBody("GetTaskPushNotificationConfig", { taskId: task, id: "c" }),
      rpcBody("ListTaskPushNotificationConfigs", { taskId: task }),
      rpcBody("DeleteTaskPushNotificationConfig", { taskId: task, id: "c" }),
      sendBody("1.0", "yes", { taskId: task, messageId: "m" }),
      sendBody("1.0", "yes", { referenceTaskIds: [task], messageId: "m" }),
      rpcBody("tasks/get", { id: task }),
      rpcBody("tasks/cancel", { id: task }),
    ];
    agent.ledger.clear();
    const unknown = bodies("00000000-0000-4000-8000-000000000000");
    for (const [index, body] of bodies(id).entries()) {
      const headers = body.includes("tasks/") ? {} : v1;
      const [theirs, nobodys] = [await foreign(body, headers), await foreign(unknown[index] ?? "", headers)];
      expect(code(theirs), body).toBe(-32001);
      expect([theirs.status, theirs.text], body).toEqual([nobodys.status, nobodys.text]);
      const names = ({ headers }: Answer) => Object.entries(headers).filter(([name]) => name !== "date");
      expect(names(theirs), body).toEqual(names(nobodys));
    }
    expect(agent.ledger.hits).toBe(0);
    expect(taskOf(await mine(rpcBody("GetTask", { id }), v1)).id).toBe(id);
  });
});
