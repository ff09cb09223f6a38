import { createVerifier } from "@sluice/signing";
import { FakeUpstream, startTestHouse, type ReceivedRequest, type TestHouse, until } from "@sluice/testing";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { rpcBody, rpcOf, sendBody, speaking } from "./a2a.ts";
import { send } from "./http.ts";

const signingSecret = "6c1fd6f0c4e04d5d9d2a7b1e";
const canary = "canary-5b1f0c9e";
const stack = new AsyncDisposableStack();
let agent: FakeUpstream;
let other: FakeUpstream;
let house: TestHouse;

/** An agent that shows these interfaces, and answers everything with a task that is called like the path. */
function playsAgent(interfaces: (origin: string) => object): FakeUpstream["handler"] {
  return ({ url, message, headers, method }, response) => {
    response.setHeader("content-type", "application/json");
    if (url.includes("/.well-known/"))
      return void response.end(JSON.stringify({ name: "planner", ...interfaces(`http://${headers.host ?? ""}`) }));
    const id = `${headers.host} ${url.replace(/[?:].*$/, "")}`;
    const task = { id, contextId: `${id} c`, status: { state: "TASK_STATE_WORKING" } };
    const result = message?.method === "SendMessage" ? { task } : task;
    const isRpc = message?.method !== undefined;
    return void response.end(
      JSON.stringify(isRpc ? { jsonrpc: "2.0", id: message?.id, result } : method === "POST" ? { task } : task),
    );
  };
}

const offered = (url: string, protocolBinding: string, more: object = {}) => ({
  url,
  protocolBinding,
  protocolVersion: "1.0",
  ...more,
});
const both = (origin: string) => ({
  supportedInterfaces: [
    offered(`${origin}/grpc`, "GRPC"),
    offered("https://elsewhere.example/rpc", "JSONRPC", { protocolVersion: "0.3" }),
    offered(`${origin}/rpc?x=1`, "JSONRPC"),
    offered(`${origin}/rest/`, "HTTP+JSON"),
  ],
});
const forTenant = (origin: string) => ({
  supportedInterfaces: [
    offered(`${origin}/rpc`, "JSONRPC", { tenant: "north" }),
    offered(`${origin}/rest`, "HTTP+JSON", { tenant: "north" }),
  ],
});

beforeAll(async () => {
  agent = stack.use(await FakeUpstream.start(playsAgent(both)));
  other = stack.use(await FakeUpstream.start(playsAgent(forTenant)));
  const card = (upstream: FakeUpstream) => new URL("/.well-known/agent-card.json", upstream.url).href;
  const signing = { keyId: "k-1", secret: "${env:SIGNING_SECRET}", mode: "strict" };
  const tenant = (...endpoints: object[]) => ({
    agents: ["a-1", "a-2"],
    accessRules: [{ agentPattern: "*", allowedTools: ["*"] }],
    a2a: { endpoints },
  });
  house = stack.use(
    await startTestHouse({
      tenants: {
        acme: tenant(
          { name: "planner", card: card(agent), signing, forwardHeaders: ["x-wanted", "accept"] },
          { name: "plain", url: new URL("/plain", agent.url).href },
          { name: "old", card: card(agent), version: "0.3" },
        ),
        beta: tenant({ name: "planner", card: card(other) }),
      },
      env: { SIGNING_SECRET: signingSecret },
    }),
  );
});
afterAll(() => stack.disposeAsync());
beforeEach(() => {
  agent.requests.length = other.requests.length = 0;
});

const at = (path: string) => `${house.house.url}/a2a/${path}`;
const headersOf = (caller = "a-1", tenant = "acme", more = {}) =>
  speaking(house.key(caller, tenant), { "a2a-version": "1.0", ...more });
const message = { messageId: "m-1", role: "ROLE_USER", parts: [{ text: "x" }], "x-unknown": [1.0] };
const restSend = JSON.stringify({ message });
const calls = (upstream: FakeUpstream) => upstream.requests.filter(({ url }) => !url.includes("/.well-known/"));
const only = (upstream: FakeUpstream): ReceivedRequest => {
  const [request, ...rest] = calls(upstream);
  if (request === undefined || rest.length > 0) throw new Error(`${calls(upstream).length} calls at the agent`);
  return request;
};

describe("an agent's card", () => {
  it("says where calls go: to the interface of the client's own revision and binding, byte for byte", async () => {
    const body = sendBody("1.0", "x", { "x-unknown": 1.5 });
    expect((await send(at("planner"), { headers: headersOf(), body })).status).toBe(200);
    expect([only(agent).url, only(agent).body.toString()]).toEqual(["/rpc?x=1", body]);
    expect(only(agent).headers).toMatchObject({ "a2a-version": "1.0", "content-type": "application/json" });
    agent.requests.length = 0;
    const answer = await send(at("planner/message:send"), { headers: headersOf(), body: restSend });
    expect(answer.status).toBe(200);
    expect([only(agent).url, only(agent).body.toString()]).toEqual(["/rest/message:send", restSend]);
    expect(only(agent).headers).toMatchObject({ "a2a-version": "1.0", "content-type": "application/a2a+json" });
  });

  it("that offers what the configuration wants at other origins only closes the agent", async () => {
    const answer = await send(at("old"), { headers: headersOf(), body: sendBody("1.0", "x") });
    expect([answer.status, rpcOf(answer).error?.message]).toEqual([
      502,
      "the card of the agent 'old' offers no interface of 0.3 but at https://elsewhere.example, and credentials go to no other origin than its own",
    ]);
    const told = /"agent":"old","elsewhere":\["https:\/\/elsewhere.example"\]/;
    await until("the log line", async () => told.test(await house.logs()));
  });

  it("that names a tenant has it named in calls: in JSON-RPC's parameters, in front of REST's paths", async () => {
    const headers = headersOf("a-1", "beta");
    await send(at("planner"), {
      headers,
      body: '{"jsonrpc":"2.0","id":1,"method":"SendMessage","params":{"message":{"messageId":"1","role":"ROLE_USER","parts":[]}}}',
    });
    expect(only(other).message?.params).toHaveProperty("tenant", "north");
    other.requests.length = 0;
    await send(at("planner/message:send"), { headers, body: restSend });
    expect(only(other).url).toBe("/rest/north/message:send");
    other.requests.length = 0;
    await send(at("planner/north/message:send"), { headers, body: restSend });
    expect(only(other).url).toBe("/rest/north/message:send");
  });

  it.each(["beta", "acme"])("A22: is called for no tenant that its client chose (%s)", async (tenant) => {
    const headers = headersOf("a-1", tenant);
    const message = '"message":{"messageId":"1","role":"ROLE_USER","parts":[{"text":"x"}]}';
    const params = `{${message},"tenant":"victim"}`;
    const rpc = `{"jsonrpc":"2.0","id":1,"method":"SendMessage","params":${params}}`;
    const asked = [
      send(at("planner"), { headers, body: rpc }),
      send(at("planner/victim/message:send"), { headers, body: restSend }),
      send(at("planner/message:send"), { headers, body: params }),
      send(at("planner/..%2Fvictim/message:send"), { headers, body: restSend }),
    ];
    const answers = await Promise.all(asked);
    expect(answers.map(({ status }) => status)).toEqual([200, 400, 400, 400]);
    expect(answers.map(({ text }) => text.includes("tenant") || text.includes("no name"))).not.toContain(false);
    expect(JSON.stringify([agent.requests, other.requests])).not.toContain("victim");
  });
});

describe("what reaches an agent", () => {
  it("A5: A15: is signed by the gateway and says who calls; nothing that the client authenticated with, and no header that nobody wants", async () => {
    const headers = headersOf("a-1", "acme", {
      ...{
        "x-wanted": "yes",
        "x-other": canary,
        "x-verified-agent-id": canary,
        cookie: canary,
      },
      ...{ accept: "x/x", "a2a-extensions": "https://example.com/e", "x-signature": canary, "x-forwarded-for": canary },
    });
    expect((await send(at("planner"), { headers, body: sendBody("1.0", "x") })).status).toBe(200);
    expect(only(agent).headers).toMatchObject({
      ...{ "x-wanted": "yes", "x-verified-agent-id": "a-1", "x-api-key-id": "k-1", accept: "application/json" },
      ...{ "a2a-extensions": "https://example.com/e", traceparent: expect.stringMatching(/^00-/) as string },
    });
    expect(agent.everything).not.toContain(canary);
    expect(agent.everything).not.toContain(house.key("a-1"));
  });

  it("A33: has its signature over the path that is sent, with its query, and over the very bytes", async () => {
    const body = sendBody("1.0", "x");
    await send(at("planner/message:send"), { headers: headersOf(), body: restSend });
    const id = encodeURIComponent(`${new URL(agent.url).host} /rest/message`);
    await send(at(`planner/tasks/${id}?historyLength=1&x=a?b`), { method: "GET", headers: headersOf() });
    await send(at(`planner/tasks/${id}:cancel`), { headers: headersOf(), body: "{}" });
    await send(at("planner"), { headers: headersOf(), body });
    const seen = calls(agent);
    expect(seen.map(({ method, url }) => `${method} ${url}`)).toEqual([
      "POST /rest/message:send",
      `GET /rest/tasks/${id}?historyLength=1&x=a?b`,
      `POST /rest/tasks/${id}:cancel`,
      "POST /rpc?x=1",
    ]);
    for (const request of [...seen, ...agent.requests.filter(({ url }) => url.includes("/.well-known/"))]) {
      const { method, url, headers, body: bytes } = request;
      const [path = "", ...query] = url.split("?");
      const verifier = createVerifier({ mode: "strict", keyId: "k-1", secret: signingSecret });
      const signed = { method, path, query: query.join("?"), body: bytes };
      expect(await verifier.verify(signed, headers as never), url).toMatchObject({ ok: true });
    }
  });
});

describe("agents of one name", () => {
  it("in two tenants are two, with tasks of their own", async () => {
    const sent = await send(at("planner"), { headers: headersOf("a-1", "beta"), body: sendBody("1.0", "x") });
    expect([sent.status, calls(agent).length, calls(other).length]).toEqual([200, 0, 1]);
    const id = (rpcOf(sent).result?.["task"] as { id: string }).id;
    const get = (tenant: string) =>
      send(at("planner"), { headers: headersOf("a-1", tenant), body: rpcBody("GetTask", { id }) });
    expect((await get("beta")).status).toBe(200);
    expect(rpcOf(await get("acme")).error?.code).toBe(-32001);
    expect(calls(agent)).toHaveLength(0);
  });
});

describe("what an agent answers with", () => {
  it("A22: is not told where it is another caller's task or context", async () => {
    expect((await send(at("plain"), { headers: headersOf("a-1"), body: sendBody("1.0", "x") })).status).toBe(200);
    const stolen = await send(at("plain"), { headers: headersOf("a-2"), body: sendBody("1.0", "x") });
    expect([stolen.status, rpcOf(stolen).error?.message]).toEqual([
      502,
      "the agent answered with a task that is not this caller's",
    ]);
    expect(stolen.text).not.toContain("TASK_STATE_WORKING");
  });
});
