import { writeFile } from "node:fs/promises";
import { connect } from "node:net";
import { join } from "node:path";
import { request, type OutgoingHttpHeaders } from "node:http";
import { answerJson, FakeUpstream, startTestHouse, until, type ReceivedRequest, type TestHouse } from "@sluice/testing";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startAgent, type ReferenceAgent } from "../conformance-a2a/agents/agent.ts";
import { rpcBody, sendBody, speaking, tenantWith } from "./a2a.ts";
import { AttemptLedger, emitters, recordedAttempts, type Recorded } from "./attempts.ts";
import { connectAs } from "./bus-spy.ts";
import { as, send, toolCall } from "./http.ts";
import { answerOf, eventStreamOf, EventReader, legacyHeaders, modernCall, modernHeaders, open } from "./wire.ts";

const limit = 64 * 1024;
const stack = new AsyncDisposableStack();
const ledger = new AttemptLedger();
let agent: ReferenceAgent;
let upstream: FakeUpstream;
let house: TestHouse;
let recorded: Map<string, Recorded[]>;

beforeAll(async () => {
  agent = stack.use(await startAgent("1.0"));
  upstream = stack.use(await FakeUpstream.start(serve));
  const { a2a } = tenantWith({ one: { agent }, hidden: { agent } });
  house = stack.use(
    await startTestHouse({
      tenants: {
        acme: {
          agents: ["a-1", "limited-1"],
          mcp: { endpoints: [{ name: "main", url: upstream.url }] },
          a2a,
          accessRules: [
            { agentPattern: "*", allowedTools: ["*"], deniedTools: ["execute_code"], deniedAgents: ["hidden"] },
          ],
          limits: [{ path: "/mcp/tools/call", agentPattern: "limited-*", maxRequests: 1, windowSeconds: 600 }],
          settings: { max_payload_bytes: limit },
        },
      },
      env: { REFUSALS_EVERY_MS: "300" },
    }),
  );
});
afterAll(() => stack.disposeAsync());

function serve({ method, message }: ReceivedRequest, response: Parameters<FakeUpstream["handler"]>[1]): void {
  if (method === "GET") return void response.writeHead(405).end();
  if (message?.id === undefined) return void response.writeHead(method === "DELETE" ? 200 : 202).end();
  const { id, params } = message;
  if (message.method === "initialize") {
    const result = {
      protocolVersion: "2025-06-18",
      capabilities: { tools: {} },
      serverInfo: { name: "f", version: "1" },
    };
    return answerJson(response, { jsonrpc: "2.0", id, result }, { "mcp-session-id": "upstream-session" });
  }
  if (message.method === "tools/list") {
    const tools = [{ name: "ok", inputSchema: { type: "object" } }];
    return answerJson(response, { jsonrpc: "2.0", id, result: { tools } });
  }
  const tool = String(params?.["name"]);
  const result = { content: [{ type: "text", text: tool }], ...(tool === "fails" && { isError: true }) };
  if (tool === "hold") return;
  if (tool === "streamed")
    response
      .writeHead(200, { "content-type": "text/event-stream" })
      .end(eventStreamOf([{ jsonrpc: "2.0", id, result }]));
  else answerJson(response, { jsonrpc: "2.0", id, result });
}

const at = (path: string) => house.house.url + path;
const mcp = (path = "/mcp") => at(path);

interface Asking {
  readonly path?: string;
  readonly method?: string;
  readonly agent?: string;
  readonly body?: string;
  readonly headers?: OutgoingHttpHeaders;
}

/** A request of a known agent; gives back its trace. */
const ask = (title: string, { path = "/mcp", method, agent: id = "a-1", body, headers }: Asking, messages = 1) =>
  ledger.attempt(
    title,
    async (trace) => {
      const sent = { headers: as(house.key(id), { ...trace, "user-agent": "ledger/7", ...headers }) };
      const answer = await send(at(path), {
        ...sent,
        ...(method !== undefined && { method }),
        ...(body !== undefined && { body }),
      });
      return answer.status;
    },
    messages,
  );

const askAgent = (title: string, path: string, body: string, headers: OutgoingHttpHeaders = {}) =>
  ledger.attempt(title, async (trace) => {
    const fields = speaking(house.key("a-1"), { "a2a-version": "1.0", ...trace, ...headers });
    return (await send(at(path), { headers: fields, body })).status;
  });

const initialize = (name: string) =>
  JSON.stringify({
    jsonrpc: "2.0",
    id: 0,
    method: "initialize",
    params: { protocolVersion: "2025-06-18", capabilities: {}, clientInfo: { name, version: "1.2" } },
  });

/** The client hangs up while its request is under way, and knows no status. */
const leave = (title: string, begin: (headers: OutgoingHttpHeaders) => Promise<{ destroy(): unknown }>) =>
  ledger.attempt(title, async (trace) => {
    (await begin(as(house.key("a-1"), trace))).destroy();
    return 499;
  });

async function makeMcpAttempts(): Promise<void> {
  await ask("200", { body: toolCall("ok") });
  await ask("tool error", { body: toolCall("fails") });
  await ask("streamed", { body: toolCall("streamed") });
  await ask("list", { body: rpcBody("tools/list", {}) });
  await ask("list, from what is kept", { body: rpcBody("tools/list", {}) });
  await ask("400 no JSON", { body: "{" });
  await ask("400 ambiguous JSON", { body: '{"jsonrpc":"2.0","id":1,"method":"a","method":"b"}' });
  await ask("400 header mismatch", { body: toolCall("ok"), headers: { "mcp-method": "ping" } });
  await ask("400 batch of a revision without", { body: `[${toolCall("ok")}]`, headers: legacyHeaders });
  await ask("403", { body: toolCall("execute_code") });
  await ask("404 server", { path: "/mcp/none", body: toolCall("ok") });
  await ask("404 path", { path: "/nothing/here", body: toolCall("ok") });
  await ask("404 session", { body: toolCall("ok"), headers: { ...legacyHeaders, "mcp-session-id": "made-up" } });
  await ask("404 stream", { method: "GET", headers: { "last-event-id": "i000000000000.1.1" } });
  await ask("405", { method: "PUT", body: toolCall("ok") });
  await ask("413", { body: toolCall("ok", { text: "x".repeat(limit) }) });
  await ask("415", { body: toolCall("ok"), headers: { "content-type": "text/plain" } });
  await ask("limited, first", { agent: "limited-1", body: toolCall("ok") });
  await ask("429", { agent: "limited-1", body: toolCall("ok") });
  await ask("batch", { body: `[${toolCall("ok", {}, 1)},{"jsonrpc":"1"},${toolCall("execute_code", {}, 2)}]` }, 3);
  await ask("registration", { path: "/mcp/registration", method: "GET" });
  await ask("own path", { path: "/mcp/tools/call", body: JSON.stringify({ name: "ok", arguments: {} }) });
  await ask("own path, 400", { path: "/mcp/tools/call", body: "[]" });
  await ask("own path, 403", { path: "/mcp/tools/call", body: JSON.stringify({ name: "execute_code" }) });
  await leave("499 while it waits", async (headers) => {
    const before = upstream.requests.length;
    const opened = request(mcp(), { method: "POST", headers: { ...headers, ...modernHeaders("hold") } });
    opened.on("error", () => {}).end(JSON.stringify(modernCall(1, "hold")));
    await until("the upstream has the call", () => upstream.requests.length > before);
    return opened;
  });
  await leave("499 while it sends", async (headers) => {
    const { hostname, port } = new URL(mcp());
    const socket = connect({ host: hostname, port: Number(port) });
    const fields = Object.entries({ host: `${hostname}:${port}`, "content-length": 100, ...headers });
    const head = fields.map(([name, value]) => `${name}: ${String(value)}\r\n`).join("");
    socket.write(`POST /mcp HTTP/1.1\r\n${head}\r\n{`);
    await until("its head was read", async () => (await underWay()) > 0);
    return socket;
  });
}

async function underWay(): Promise<number> {
  const [ingress] = house.house.of("ingress");
  const health = (await (await fetch(`${ingress?.health}/health`)).json()) as { calls: number };
  return health.calls;
}

async function makeSessionAttempts(): Promise<void> {
  let session = "";
  await ledger.attempt("session begins", async (trace) => {
    const answer = await send(mcp(), { headers: as(house.key("a-1"), trace), body: initialize("session-client") });
    session = String(answer.headers["mcp-session-id"]);
    return answer.status;
  });
  const headers = { ...legacyHeaders, "mcp-session-id": session };
  await ask("in the session", { body: toolCall("ok"), headers });
  await ask("GET in the session", { method: "GET", headers });
  await ask("session ends", { method: "DELETE", headers });
  await ledger.attempt("HTTP+SSE", async (trace) => {
    const key = house.key("a-1");
    const stream = new EventReader(await answerOf(open({ url: mcp("/mcp/sse"), key, method: "GET", headers: trace })));
    const endpoint = (await until("the endpoint", () => stream.events[0])).data;
    await ask("HTTP+SSE message", { path: endpoint, body: toolCall("ok", {}, "posted") });
    await ask("HTTP+SSE 400", { path: endpoint, body: "{" });
    await until("its answer", () => stream.events.some(({ data }) => data.includes('"posted"')));
    stream.response.destroy();
    return stream.response.statusCode ?? 0;
  });
  await ask("HTTP+SSE 404", { path: "/mcp/messages?session=made-up", body: toolCall("ok") });
}

async function makeA2aAttempts(): Promise<void> {
  await askAgent("A2A 200", "/a2a/one", sendBody("1.0", "echo hello"));
  await askAgent("A2A stream", "/a2a/one", rpcBody("SendStreamingMessage", streamed), { accept: "text/event-stream" });
  await askAgent("A2A 404 task", "/a2a/one", rpcBody("GetTask", { id: "made-up" }));
  await askAgent("A2A 400", "/a2a/one", "{");
  await askAgent("A2A unknown method", "/a2a/one", rpcBody("Nonsense", {}));
  await askAgent("A2A 403", "/a2a/hidden", sendBody("1.0", "echo hello"));
  await askAgent("A2A 404 agent", "/a2a/none", sendBody("1.0", "echo hello"));
  await askAgent("A2A 413", "/a2a/one", sendBody("1.0", "x".repeat(limit)));
  await askAgent("A2A 415", "/a2a/one", sendBody("1.0", "echo"), { "content-type": "text/plain" });
  await ask("A2A 405", { path: "/a2a/one", method: "PUT", body: "{}" });
  await ask("A2A list", { path: "/a2a/one/tasks", method: "GET", headers: { "a2a-version": "1.0" } });
  await ask("card", { path: "/a2a/agent-card", method: "GET" });
  await ask("card, 404", { path: "/a2a/none/.well-known/agent-card.json", method: "GET" });
  await ask("own path of tasks, 400", { path: "/a2a/tasks/get", body: "[]" });
}

const streamed = { message: { messageId: "m-1", role: "ROLE_USER", parts: [{ text: "echo hello" }] } };

const find = (title: string): Recorded => {
  const attempt = ledger.attempts.find((one) => one.title === title);
  const [row] = recorded.get(attempt?.trace ?? "") ?? [];
  if (row === undefined) throw new Error(`nothing on record of ${title}`);
  return row;
};

describe("A34: the audit trail against the client's own ledger", () => {
  it("has one intent and one outcome of each attempt, with the status that the client was told", async () => {
    await makeMcpAttempts();
    await makeSessionAttempts();
    await makeA2aAttempts();
    recorded = await until("all attempts are on record", async () => {
      const all = await recordedAttempts(house);
      return ledger.attempts.every(({ trace, messages }) => {
        const rows = all.get(trace) ?? [];
        return rows.length >= messages && rows.every(({ state }) => state === "done");
      })
        ? all
        : undefined;
    });
    const ofOne = ledger.attempts.filter(({ messages }) => messages === 1);
    // What is posted for an event stream is accepted by 202, and answered there.
    const told = ofOne.map(({ title, status }) => ({ title, statuses: [status === 202 ? 200 : status] }));
    const found = ofOne.map(({ title, trace }) => ({
      title,
      statuses: (recorded.get(trace) ?? []).map(({ status }) => status),
    }));
    expect(found).toEqual(told);
    const batch = ledger.attempts.find(({ title }) => title === "batch");
    const statuses = (recorded.get(batch?.trace ?? "") ?? []).map(({ status }) => String(status));
    expect(new Set(statuses)).toEqual(new Set(["200", "400", "403"]));
    expect(statuses).toHaveLength(3);
  });

  it("says what was tried, as far as it could be read, and why it was refused", () => {
    const shown = (title: string) => {
      const { method, server, fault } = find(title);
      return { method, server, fault };
    };
    expect(shown("400 no JSON")).toEqual({ method: "unknown", server: "main", fault: "parse_error" });
    expect(shown("400 header mismatch")).toEqual({ method: "tools/call", server: "main", fault: "header_mismatch" });
    expect(shown("404 server")).toEqual({ method: "unknown", server: "*", fault: "not_found" });
    expect(shown("404 path")).toEqual({ method: "unknown", server: "main", fault: "not_found" });
    expect(shown("405")).toEqual({ method: "PUT", server: "main", fault: "method_not_allowed" });
    expect(shown("413")).toEqual({ method: "unknown", server: "main", fault: "payload_too_large" });
    expect(shown("A2A 404 agent")).toEqual({ method: "SendMessage", server: "*", fault: "not_found" });
    expect(shown("A2A 413")).toEqual({ method: "unknown", server: "one", fault: "payload_too_large" });
    expect(shown("499 while it sends")).toMatchObject({ method: "unknown", fault: "client_left" });
    expect(find("tool error").is_error).toBe(true);
  });

  it("says which client it was, in every call of its session, what limit was near, and what the upstream was shown", () => {
    expect(
      [find("session begins"), find("in the session"), find("session ends")].map((row) => row.client_name),
    ).toEqual(["session-client", "session-client", "session-client"]);
    expect(find("200").client_name).toBe("ledger");
    expect(find("404 path").client_name).toBe("ledger");
    expect([find("404 server").path, find("404 path").path]).toEqual(["/mcp/:server", "/*"]);
    expect(find("limited, first")).toMatchObject({
      limit_policy: expect.stringContaining("limits[0]"),
      limit_left: "0",
    });
    expect(find("429")).toMatchObject({ limit_left: "0", fault: "agent_rate_limited" });
    expect(find("200")).toMatchObject({ limit_left: null, credential: "none" });
  });
});

describe("requests of nobody known", () => {
  it("are counted: thousands of them cost the bus a handful of messages", async () => {
    const bus = await connectAs(house, "control");
    const messages = async () => {
      const info = (await bus.request("$JS.API.STREAM.INFO.AUDIT")).json<{ state: { last_seq: number } }>();
      return info.state.last_seq;
    };
    const counted = async () => {
      const rows = await house.query<{ status: number; fault: string; sum: number }>(
        "select status, fault, sum(count)::int as sum from audit_refusals where fault = 'unauthorized' group by 1, 2",
      );
      return rows[0]?.sum ?? 0;
    };
    const [before, had] = [await messages(), await counted()];
    const count = 3_000;
    for (let done = 0; done < count; done += 100)
      await Promise.all(
        Array.from({ length: 100 }, async () => {
          const { status } = await send(mcp(), { headers: as("slk_wrong"), body: toolCall("ok") });
          expect(status).toBe(401);
        }),
      );
    await until("all are told", async () => (await counted()) >= had + count);
    expect(await counted()).toBe(had + count);
    expect((await messages()) - before).toBeLessThan(200);
    const [row] = await house.query(
      "select protocol, peer, log from audit_refusals where fault = 'unauthorized' limit 1",
    );
    expect(row).toEqual({ protocol: "mcp", peer: "127.0.0.1", log: "_gateway" });
    await bus.close();
  });

  it("are counted too where they are no HTTP, and for another host", async () => {
    const { hostname, port } = new URL(mcp());
    const socket = connect({ host: hostname, port: Number(port) }).on("error", () => {});
    socket.end("no HTTP at all\r\n\r\n");
    await send(mcp(), { headers: { ...as("slk_wrong"), host: "elsewhere.example" }, body: "{}" });
    const rows = await until("both are told", async () => {
      const found = await house.query("select status, fault from audit_refusals where status in (400, 403) order by 1");
      return found.length === 2 ? found : undefined;
    });
    expect(rows).toEqual([
      { status: 400, fault: "invalid_request" },
      { status: 403, fault: "foreign_host" },
    ]);
  });
});

describe("what operators do without the admin API", () => {
  it("is on record: an edit of tenants.yaml in force, and one that is refused", async () => {
    const published = () =>
      house.query("select subject, result, fault from audit_actions where action = 'conf.publish' order by at");
    const first = await until("the first edition", async () => (await published())[0]);
    expect(first).toEqual({ subject: expect.stringMatching(/^version \d+$/), result: "noted", fault: null });
    await writeFile(join(house.confDir, "tenants.yaml"), "tenants:\n  acme: { agents: nobody }\n");
    const refused = await until("the refused one", async () => (await published())[1]);
    expect(refused).toEqual({ subject: "tenants.yaml, line 2", result: "refused", fault: "conf_invalid" });
  });
});

describe("the numbers of each emitter", () => {
  it("A34: have no gap, and the last is that of the word that it stopped", async () => {
    await Promise.all(
      (["ingress", "egress", "control", "signer"] as const).flatMap((service) =>
        house.house.of(service).map(async (replica) => {
          replica.endedOnPurpose = true;
          await replica.process.stop();
        }),
      ),
    );
    const ended = await until("the last words are on record", async () => {
      const all = (await emitters(house)).filter(({ service }) => service !== null && service !== "audit");
      return all.length === 4 && all.every(({ stopped }) => stopped !== null) ? all : undefined;
    });
    expect(new Set(ended.map(({ service }) => service))).toEqual(new Set(["control", "egress", "ingress", "signer"]));
    for (const { numbers, distinct, last, stopped } of ended) {
      expect(numbers).toBe(last);
      expect(distinct).toBe(last);
      expect(stopped).toBe(last);
    }
  });
});
