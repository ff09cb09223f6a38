import type { AddressInfo } from "node:net";
import { createServer, type Server } from "node:http";
import { FakeUpstream, startTestHouse, until, type TestHouse, type UpstreamHandler } from "@sluice/testing";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { rpcBody, sendBody, speaking } from "./a2a.ts";
import { send, type Answer } from "./http.ts";
import { MemoryWatch } from "./memory.ts";

const mebibyte = 1024 * 1024;
const secret = "6c1fd6f0c4e04d5d9d2a7b1e";
const breakerFailures = 3;
const json = { "content-type": "application/json" };
const handlers = new Map<string, UpstreamHandler>();
const stack = new AsyncDisposableStack();
let agent: FakeUpstream;
let elsewhere: FakeUpstream;
let inside: Server;
let insideServed = 0;
let house: TestHouse;

/** One agent each, so that the breaker of one is not that of another. */
const names = [
  ...["good", "hang", "reset", "half", "text", "html", "empty", "wrong-id", "huge", "endless", "drip", "list", "s500"],
  ...["s502", "s503", "s504", "r301", "r302", "r303", "r307", "r308", "one-event", "events", "flaky", "refusing"],
];
const task = { id: "t-1", contextId: "c-1", status: { state: "TASK_STATE_COMPLETED" } };
/** What a good agent says. */
const answerWell: UpstreamHandler = ({ message, method, url }, response) =>
  void response
    .writeHead(200, json)
    .end(
      JSON.stringify(
        message?.method === undefined
          ? method === "POST"
            ? { task: { ...task, id: `t-${url}` } }
            : task
          : { jsonrpc: "2.0", id: message.id, result: message.method === "SendMessage" ? { task } : task },
      ),
    );

beforeAll(async () => {
  const route: UpstreamHandler = (request, response) =>
    (handlers.get(/^\/([^/?]+)/.exec(request.url)?.[1] ?? "") ?? answerWell)(request, response);
  agent = stack.use(await FakeUpstream.start(route));
  elsewhere = stack.use(await FakeUpstream.start());
  inside = createServer((_request, response) => {
    insideServed++;
    response.end("{}");
  });
  const insidePort = await listening(inside, "127.0.0.2");
  const gone = await FakeUpstream.start();
  const goneUrl = gone.url;
  await gone[Symbol.asyncDispose]();
  const origin = new URL(agent.url).origin;
  const credentials = { type: "header", headerName: "x-key", value: "${env:AGENT_KEY}" };
  const endpoint = (name: string) => ({
    ...{ name, url: `${origin}/${name}`, credentials },
    ...{ responseTimeoutMs: 1_000, idleTimeoutMs: 1_000 },
  });
  const endpoints = [
    ...names.map(endpoint),
    { ...endpoint("rest"), binding: "HTTP+JSON" },
    { ...endpoint("patient"), idleTimeoutMs: 60_000 },
    { name: "gone", url: goneUrl },
    { name: "inside", url: `http://127.0.0.2:${insidePort}/` },
    { name: "inside-card", card: `http://127.0.0.2:${insidePort}/.well-known/agent-card.json` },
    { name: "bad-card", card: `${origin}/bad-card/.well-known/agent-card.json`, credentials },
  ];
  const tenant = (caller: string) => ({
    agents: [caller],
    accessRules: [{ agentPattern: "*", allowedTools: ["*"] }],
    mcp: { endpoints: [{ name: "hang", url: agent.url }] },
    a2a: { endpoints },
  });
  house = stack.use(
    await startTestHouse({
      tenants: { acme: tenant("a-1"), beta: tenant("b-1") },
      env: { AGENT_KEY: secret },
      envOf: {
        // Less than control: what was allowed when it was saved is checked again when connecting.
        egress: {
          UPSTREAM_NETWORKS: "127.0.0.1/32",
          EGRESS_BREAKER_FAILURES: String(breakerFailures),
          EGRESS_BREAKER_OPEN_MS: "3000",
          EGRESS_MAX_ANSWER_BYTES: String(8 * mebibyte),
        },
      },
    }),
  );
});
afterAll(() => stack.disposeAsync());
beforeEach(() => {
  for (const { requests } of [agent, elsewhere]) requests.length = 0;
  insideServed = 0;
});

async function listening(server: Server, host: string): Promise<number> {
  const ready = Promise.withResolvers<void>();
  server.listen(0, host, ready.resolve);
  await ready.promise;
  stack.defer(() => void server.close().closeAllConnections());
  return (server.address() as AddressInfo).port;
}

const restMessage = { message: { messageId: "m-1", role: "ROLE_USER", parts: [{ text: "x" }] } };
const version = { "a2a-version": "1.0" };
const call = (name: string, { body = sendBody("1.0", "echo x", {}, 7), tenant = "acme", path = "" } = {}) =>
  send(`${house.house.url}/a2a/${name}${path}`, {
    headers: speaking(house.key(tenant === "acme" ? "a-1" : "b-1", tenant), version),
    ...(body === "" ? { method: "GET" } : { body }),
  });
const faultOf = ({ status, text }: Answer) => {
  const { id, error } = JSON.parse(text) as { id: unknown; error: { data: { error: string } } };
  return { status, id, fault: error.data.error };
};
const failed = { status: 502, id: 7, fault: "upstream_failed" };
const late = { status: 504, id: 7, fault: "upstream_timeout" };
const othersGoOn = async () => {
  for (const tenant of ["acme", "beta"]) expect((await call("good", { tenant })).status).toBe(200);
};
const reached = (name: string) => agent.requests.filter(({ url }) => url.startsWith(`/${name}`));
const write =
  (text: string, status = 200, headers: Record<string, string> = json): UpstreamHandler =>
  (_request, response) =>
    void response.writeHead(status, headers).end(text);
const sse = { "content-type": "text/event-stream" };
const event = (id: number) => `data: ${JSON.stringify({ jsonrpc: "2.0", id, result: { task } })}\n\n`;

describe("an agent that misbehaves (A40)", () => {
  it.each<[string, UpstreamHandler, typeof failed]>([
    ["hang", () => {}, late],
    ["reset", (_request, response) => void response.destroy(), failed],
    [
      "half",
      (_request, response) =>
        void response.writeHead(200, { ...json, "content-length": "99" }).write("{", () => response.destroy()),
      failed,
    ],
    ["text", write("Just a moment."), failed],
    ["html", write("<html>", 200, { "content-type": "text/html" }), failed],
    ["empty", write(""), failed],
    ["wrong-id", write('{"jsonrpc":"2.0","id":"7","result":{}}'), failed],
    ["list", write("[]"), failed],
    ["events", write(event(7) + event(7), 200, sse), failed],
    [
      "huge",
      (_request, response) =>
        void response.writeHead(200, { ...json, "content-length": String(200 * mebibyte) }).flushHeaders(),
      failed,
    ],
    [
      "drip",
      (_request, response) => {
        response.writeHead(200, json);
        const timer = setInterval(() => response.write(" "), 100);
        response.once("close", () => clearInterval(timer));
      },
      late,
    ],
  ])("by %s ends in a bounded 502 or 504, and others go on meanwhile", async (name, handler, expected) => {
    handlers.set(name, handler);
    const answer = call(name);
    await othersGoOn();
    expect(faultOf(await answer)).toEqual(expected);
    expect(reached(name)).toHaveLength(1);
  });

  it("by being gone is answered with 502", async () => {
    expect(faultOf(await call("gone"))).toEqual(failed);
  });

  it.each([500, 502, 503, 504])("by status %d has its own answer relayed", async (status) => {
    const text = "the agent's own words";
    handlers.set(`s${status}`, write(text, status));
    const answer = await call(`s${status}`);
    expect([answer.status, answer.text]).toEqual([status, text]);
  });

  it("by one event where an answer is due has that taken for the answer", async () => {
    handlers.set("one-event", write(`: hello\n\n${event(7)}`, 200, sse));
    const answer = await call("one-event");
    expect([answer.status, answer.headers["content-type"]]).toEqual([200, "application/json"]);
    expect(JSON.parse(answer.text)).toEqual({ jsonrpc: "2.0", id: 7, result: { task } });
  });

  it("by an answer without end has it refused at the bound, with flat memory", async () => {
    const chunk = Buffer.alloc(mebibyte, " ");
    handlers.set("endless", (_request, response) => {
      response.writeHead(200, json);
      const more = () => {
        while (!response.destroyed && response.write(chunk));
      };
      response.on("drain", more);
      more();
    });
    const watch = new MemoryWatch([...house.house.of("ingress"), ...house.house.of("egress")]);
    const answers = await Promise.all(Array.from({ length: 10 }, () => call("endless")));
    for (const answer of answers) expect(faultOf(answer).status).toBeOneOf([502, 503, 504]);
    expect(watch.riseMb).toBeLessThan(300);
    await othersGoOn();
  });

  it("by REST ends in the same", async () => {
    const told = async () => {
      const { status, text } = await call("rest", { path: "/message:send", body: JSON.stringify(restMessage) });
      return [status, (JSON.parse(text) as { error: { code: number } }).error.code];
    };
    handlers.set("rest", write("Just a moment."));
    expect(await told()).toEqual([502, 502]);
    handlers.set("rest", write("7"));
    expect(await told()).toEqual([502, 502]);
    handlers.set("rest", () => {});
    expect(await told()).toEqual([504, 504]);
    handlers.set("rest", answerWell);
    expect((await call("rest", { path: "/message:send", body: JSON.stringify(restMessage) })).status).toBe(200);
  });

  it("by a card that cannot be had is answered with 502 that says why, and not asked again at once", async () => {
    handlers.set("bad-card", write("<html>"));
    const answers = [await call("bad-card"), await call("bad-card")];
    for (const answer of answers) {
      expect(faultOf(answer)).toEqual(failed);
      expect(answer.text).toContain("the card of the agent 'bad-card' could not be read");
    }
    expect(reached("bad-card")).toHaveLength(1);
    const metrics = await (await fetch(`${house.house.of("egress")[0]?.health}/metrics`)).text();
    const closed = metrics.split("\n").filter((line) => line.startsWith("sluice_upstream_closed{"));
    expect(closed).toEqual([expect.stringContaining('tenant="acme",server="bad-card",protocol="a2a"')]);
    expect(await house.logs()).toMatch(/tenant acme, agent bad-card: the card .*agent can't be called/);
  });
});

describe("a send", () => {
  it("may take longer than other operations, and is never repeated", async () => {
    handlers.set("patient", answerWell);
    expect((await call("patient")).status).toBe(200);
    let answer: (() => void) | undefined;
    handlers.set("patient", (request, response) => {
      if (request.message?.method === "SendMessage") answer = () => void answerWell(request, response);
    });
    const sent = call("patient");
    await until("the send at the agent", () => answer !== undefined);
    expect(faultOf(await call("patient", { body: rpcBody("GetTask", { id: "t-1" }, 7) }))).toEqual(late);
    answer?.();
    expect((await sent).status).toBe(200);
    handlers.set("patient", (_request, response) => void response.destroy());
    agent.requests.length = 0;
    expect(faultOf(await call("patient"))).toEqual(failed);
    expect(reached("patient")).toHaveLength(1);
  });
});

describe("the breaker of an agent (A40)", () => {
  it("opens after failures in a row, for that agent of that tenant alone, and closes with the first answer", async () => {
    handlers.set("flaky", (_request, response) => void response.destroy());
    for (let time = 0; time < breakerFailures; time++) await call("flaky");
    const refused = await call("flaky");
    expect(faultOf(refused)).toEqual({ status: 503, id: 7, fault: "upstream_unavailable" });
    expect(Number(refused.headers["retry-after"])).toBeGreaterThan(0);
    expect(reached("flaky")).toHaveLength(breakerFailures);
    expect((await call("flaky", { tenant: "beta" })).status).toBe(502);
    await othersGoOn();
    handlers.set("flaky", answerWell);
    await until("a probe that is answered", async () => (await call("flaky")).status === 200);
    expect(await house.logs()).toMatch(/"tenant":"acme","agent":"flaky".*upstream answers again/);
  });
});

describe("an address that the operator did not allow (A25)", () => {
  it.each(["inside", "inside-card"])("is refused when connecting too: %s", async (name) => {
    const answer = await call(name);
    expect(faultOf(answer)).toEqual(failed);
    expect(answer.text).not.toMatch(/127\.0\.0/);
    expect(insideServed).toBe(0);
    expect(await house.logs()).toMatch(
      new RegExp(`"agent":"${name}".*127\\.0\\.0\\.2 is no public address.*set UPSTREAM_NETWORKS`),
    );
  });
});

describe("a redirect", () => {
  it.each([301, 302, 303, 307, 308])(
    "by %d is not followed, inside or across origins; no credential goes there and its target stays unknown (A26)",
    async (status) => {
      const { port } = inside.address() as AddressInfo;
      const locations = [`http://127.0.0.2:${port}/`, elsewhere.url, new URL("/good", agent.url).href, "/good"];
      for (const location of locations) {
        handlers.set(`r${status}`, (_request, response) => void response.writeHead(status, { location }).end());
        const before = agent.requests.length;
        const answer = await call(`r${status}`);
        expect(faultOf(answer)).toEqual(failed);
        expect(answer.headers).not.toHaveProperty("location");
        expect(answer.text).not.toContain("127.0.0");
        expect(agent.requests.length).toBe(before + 1);
      }
      expect(agent.requests.every(({ headers }) => headers["x-key"] === secret)).toBe(true);
      expect([elsewhere.requests.length, insideServed]).toEqual([0, 0]);
    },
  );
});

it("a 401 to the gateway's credentials is told as the gateway's own failure, and its text holds no secret", async () => {
  handlers.set("refusing", write(`{"error":"no ${secret}"}`, 401));
  const answer = await call("refusing");
  expect(faultOf(answer)).toEqual(failed);
  expect(answer.text).toContain("the agent 'refusing' refuses the gateway's credentials");
  expect(answer.everything + (await house.logs())).not.toContain(secret);
  handlers.set("refusing", write('{"error":"forbidden"}', 403));
  const forbidden = await call("refusing");
  expect([forbidden.status, forbidden.text]).toEqual([403, '{"error":"forbidden"}']);
});

it("the servers of MCP do not notice: one of the same name is another upstream, with counts and a breaker of its own", async () => {
  const hanging = handlers.get("hang");
  handlers.set("hang", (_request, response) => void response.destroy());
  for (let time = 0; time <= breakerFailures; time++) await call("hang");
  expect(faultOf(await call("hang")).fault).toBe("upstream_unavailable");
  const body = '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"echo","arguments":{"text":"x"}}}';
  const headers = { ...speaking(house.key("a-1")), accept: "application/json, text/event-stream" };
  handlers.delete("mcp");
  const before = agent.requests.length;
  const answer = await send(`${house.house.url}/mcp/hang`, { headers, body });
  expect(agent.requests.length).toBeGreaterThan(before);
  expect(answer.status).toBe(200);
  handlers.set("hang", hanging ?? answerWell);
});
