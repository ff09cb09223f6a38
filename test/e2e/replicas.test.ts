import { serviceNames } from "@sluice/contracts";
import { answerJson, FakeUpstream, startTestHouse, until, type ReceivedRequest, type TestHouse } from "@sluice/testing";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { BalancedLoad } from "./balanced-client.ts";
import { call, eventStreamOf, fingerprint, legacyHeaders, send, type Sent } from "./wire.ts";

const stopDeadlineMs = 25_000;
const admissionTimeoutMs = 2_000;
let upstream: FakeUpstream;
let house: TestHouse;
const stack = new AsyncDisposableStack();

beforeAll(async () => {
  upstream = stack.use(await FakeUpstream.start(serve));
  const replicas = Object.fromEntries(serviceNames.map((service) => [service, 2]));
  house = stack.use(
    await startTestHouse({
      tenants: {
        acme: {
          agents: ["a-1", "a-2", "limited-1"],
          mcp: {
            endpoints: [
              { name: "first", url: upstream.url },
              { name: "second", url: upstream.url },
            ],
          },
          accessRules: [{ agentPattern: "*", allowedTools: ["*"] }],
          limits: [{ path: "/mcp/tools/call", agentPattern: "limited-*", maxRequests: 100, windowSeconds: 600 }],
        },
      },
      replicas,
    }),
  );
});
afterEach(async () => {
  for (const service of serviceNames) while (house.house.of(service).length < 2) await house.house.add(service);
});
afterAll(() => stack.disposeAsync());

/** Opens sessions, answers every other call as a stream, and echoes. */
function serve({ method, headers, message }: ReceivedRequest, response: Parameters<FakeUpstream["handler"]>[1]): void {
  if (method !== "POST" || message?.id === undefined)
    return void response.writeHead(method === "GET" ? 405 : 202).end();
  const { id, params } = message;
  if (message.method === "initialize") {
    const result = { protocolVersion: "2025-06-18", capabilities: {}, serverInfo: { name: "fixture", version: "1" } };
    return answerJson(
      response,
      { jsonrpc: "2.0", id, result },
      { "mcp-session-id": `upstream-${headers["x-verified-agent-id"] as string}` },
    );
  }
  const text = JSON.stringify({ session: headers["mcp-session-id"], arguments: params?.["arguments"] });
  const answer = { jsonrpc: "2.0", id, result: { content: [{ type: "text", text }] } };
  const number = Number(/-(\d+)$/.exec(String(id))?.[1] ?? 0);
  if (number % 2 === 0) return answerJson(response, answer);
  response.writeHead(200, { "content-type": "text/event-stream" }).end(eventStreamOf([answer]));
}

const urls = () => house.house.of("ingress").map(({ url }) => `${url}/mcp/first`);
const from = (agent: string, at = 0): Sent => ({
  url: urls()[at] ?? "",
  key: house.key(agent),
  headers: legacyHeaders,
});
const initialize = {
  jsonrpc: "2.0",
  id: 0,
  method: "initialize",
  params: { protocolVersion: "2025-06-18", capabilities: {}, clientInfo: { name: "t", version: "1" } },
};

async function openSession(agent: string, at = 0): Promise<string> {
  const answer = await send({ ...from(agent, at), body: initialize });
  expect(answer.status).toBe(200);
  return String(answer.headers["mcp-session-id"]);
}

/** Unary and streamed calls, half of them in a session. */
async function startLoad(prefix: string): Promise<BalancedLoad> {
  const headers = { ...legacyHeaders, "mcp-session-id": await openSession("a-1") };
  return new BalancedLoad({ urls, key: house.key("a-1"), concurrency: 8, headers, prefix });
}

/** Checks that the audit trail and the upstream agree with what the client was answered: each call once. */
async function expectLedgerKept(load: BalancedLoad, prefix: string): Promise<void> {
  const rows = await until("an outcome for each answered call", async () => {
    const found = await house.query<{ rpc_id: string; intents: number; outcomes: number }>(
      `select rpc_id, count(*)::int as intents, count(*) filter (where state = 'done')::int as outcomes
       from audit_calls where rpc_id like $1 group by rpc_id`,
      [`"${prefix}-%`],
    );
    return found.reduce((sum, { outcomes }) => sum + outcomes, 0) >= load.ledger.length ? found : undefined;
  });
  expect(rows.filter(({ intents, outcomes }) => intents !== 1 || outcomes !== 1)).toEqual([]);
  expect(new Set(rows.map(({ rpc_id }) => rpc_id))).toEqual(new Set(load.ledger.map(({ id }) => JSON.stringify(id))));
}

function timesForwarded(prefix: string): Map<string, number> {
  const times = new Map<string, number>();
  for (const { message } of upstream.requests) {
    const id = String(message?.id);
    if (id.startsWith(`${prefix}-`)) times.set(id, (times.get(id) ?? 0) + 1);
  }
  return times;
}

describe("two replicas of each service: a session", () => {
  it("works over both ingress replicas alternately, and the upstream's own id never reaches the client", async () => {
    const session = await openSession("a-1");
    expect(session).not.toContain("upstream");
    for (let number = 0; number < 8; number++) {
      const headers = { ...legacyHeaders, "mcp-session-id": session };
      const answer = await send({ ...from("a-1", number % 2), headers, body: call(`session-${number}`, "echo") });
      expect(answer.status).toBe(200);
      expect(answer.body.toString()).toContain("upstream-a-1");
      expect(JSON.stringify(answer.headers)).not.toContain("upstream-a-1");
    }
  });

  it.each(["POST", "GET", "DELETE"] as const)(
    "that is another principal's, another server's or made up answers %s with the same 404, byte for byte (A19)",
    async (method) => {
      const session = await openSession("a-1");
      const attempt = (agent: string, id: string, path = "") =>
        send({
          ...from(agent),
          url: `${urls()[0]}${path}`,
          method,
          headers: { ...legacyHeaders, "mcp-session-id": id },
          ...(method === "POST" && { body: call(7, "echo") }),
        });
      const seen = upstream.requests.length;
      const unknown = await attempt("a-2", "made-up-by-the-client");
      expect(unknown.status).toBe(404);
      for (const other of [
        await attempt("a-2", session),
        await attempt("a-1", session, "/../second"),
        await attempt("a-2", session.slice(0, -1)),
        await attempt("a-2", `upstream-a-1`),
        await attempt("a-2", "\"'; --"),
      ]) {
        expect(fingerprint(other)).toBe(fingerprint(unknown));
      }
      expect(upstream.requests.length).toBe(seen);
      const own = await send({
        ...from("a-1", 1),
        headers: { ...legacyHeaders, "mcp-session-id": session },
        body: call("own-0", "echo"),
      });
      expect(own.status).toBe(200);
    },
  );
});

describe("SIGTERM under load", () => {
  it.each(serviceNames)(
    "of one replica of %s fails no request, runs none twice, and it exits with code 0 in time (A38)",
    async (service) => {
      const prefix = `term-${service}`;
      const load = await startLoad(prefix);
      await until("the load to run", () => load.ledger.length >= 50);
      const [replica] = house.house.of(service);
      if (replica === undefined) throw new Error(`${service} does not run`);
      replica.endedOnPurpose = true;
      const startedAt = Date.now();
      expect(await replica.process.stop("SIGTERM", stopDeadlineMs)).toEqual({ code: 0, signal: null });
      expect(Date.now() - startedAt).toBeLessThan(stopDeadlineMs);
      const after = load.ledger.length;
      await until("the load to go on", () => load.ledger.length >= after + 50);
      await load.stop();
      expect(load.failures).toEqual([]);
      const times = timesForwarded(prefix);
      expect([...times].filter(([, count]) => count !== 1)).toEqual([]);
      expect(times.size).toBe(load.ledger.length);
      await expectLedgerKept(load, prefix);
    },
  );
});

describe("without any policy replica", () => {
  it("calls are answered 503 with Retry-After within the admission deadline, none is forwarded, and they pass again when one is back", async () => {
    for (const replica of house.house.of("policy")) {
      replica.endedOnPurpose = true;
      await replica.process.stop();
    }
    const startedAt = Date.now();
    const answers = await Promise.all(
      Array.from({ length: 10 }, (_, number) =>
        send({ ...from("a-1", number % 2), body: call(`outage-${number}`, "echo") }),
      ),
    );
    expect(Date.now() - startedAt).toBeLessThan(admissionTimeoutMs + 1_000);
    for (const { status, headers } of answers) {
      expect(status).toBe(503);
      expect(Number(headers["retry-after"])).toBeGreaterThan(0);
    }
    expect(timesForwarded("outage").size).toBe(0);
    await house.house.add("policy");
    expect((await send({ ...from("a-1"), body: call("back-0", "echo") })).status).toBe(200);
    const rows = await until("ten outcomes", async () => {
      const found = await house.query(
        "select decision, fault, status from audit_calls where rpc_id like '\"outage-%' and state = 'done'",
      );
      return found.length === 10 ? found : undefined;
    });
    expect(rows).toEqual(Array(10).fill({ decision: "deny", fault: "unavailable", status: 503 }));
  });
});

describe("a limit of 100", () => {
  it("lets at most 100 of 500 parallel calls pass over 3 ingress and 3 rate-limit replicas; the rest get 429 with Retry-After (A28)", async () => {
    await Promise.all([house.house.add("ingress"), house.house.add("rate-limit")]);
    expect([house.house.of("ingress").length, house.house.of("rate-limit").length]).toEqual([3, 3]);
    const answers = await Promise.all(
      Array.from({ length: 500 }, (_, number) =>
        send({ ...from("limited-1", number % 3), body: call(`many-${number}`, "echo") }),
      ),
    );
    const passed = answers.filter(({ status }) => status === 200);
    const limited = answers.filter(({ status }) => status === 429);
    expect(passed).toHaveLength(100);
    expect(limited).toHaveLength(400);
    expect(timesForwarded("many").size).toBe(100);
    for (const { headers, body } of limited) {
      const { error } = JSON.parse(body.toString()) as { error: { data: Record<string, unknown> } };
      expect(error.data).toMatchObject({ error: "agent_rate_limited", agentId: "limited-1" });
      expect(String(error.data["retryAfterSeconds"])).toBe(headers["retry-after"]);
      expect(Number(headers["retry-after"])).toBeGreaterThan(0);
    }
  });
});
