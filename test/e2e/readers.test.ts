import { jetstreamManager } from "@nats-io/jetstream";
import { sessionNameOf } from "@sluice/contracts";
import { FakeUpstream, startTestHouse, until, type TestHouse } from "@sluice/testing";
import { request, type ServerResponse } from "node:http";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { connectAs } from "./bus-spy.ts";
import {
  answerOf,
  call,
  eventStreamOf,
  legacyHeaders,
  listen,
  modernCall,
  modernHeaders,
  open,
  send,
  type Sent,
} from "./wire.ts";

let upstream: FakeUpstream;
let house: TestHouse;
const stack = new AsyncDisposableStack();
/** Streams that the upstream has open: those of its own messages, in order, and those that answer a tool's call. */
const own: ServerResponse[] = [];
const tools = new Map<string, ServerResponse>();
const closed = new Set<ServerResponse>();

const servers = () => [
  { name: "main", url: upstream.url },
  { name: "other", url: upstream.url },
];
const conf = ({ agents = ["a-1", "a-2", "a-3"], denied = ["danger"], endpoints = servers(), more = {} } = {}) => ({
  acme: {
    agents,
    mcp: { endpoints },
    accessRules: [{ agentPattern: "*", allowedTools: ["*"], deniedTools: denied }],
    ...more,
  },
});

beforeAll(async () => {
  upstream = stack.use(
    await FakeUpstream.start(({ method, message, headers }, response) => {
      response.once("close", () => closed.add(response));
      if (method === "GET") {
        response.writeHead(200, { "content-type": "text/event-stream" }).flushHeaders();
        own.push(response);
      } else if (message?.method === "initialize") {
        const given = { "content-type": "text/event-stream", "mcp-session-id": "session-of-the-upstream" };
        response.writeHead(200, given).end(eventStreamOf([{ jsonrpc: "2.0", id: message.id, result: {} }]));
      } else if (message?.method === "server/discover") {
        const result = { supportedVersions: ["2026-07-28"], capabilities: { tools: {} }, resultType: "complete" };
        response.writeHead(200, { "content-type": "application/json" });
        response.end(JSON.stringify({ jsonrpc: "2.0", id: message.id, result }));
      } else {
        const session = headers["mcp-session-id"];
        const echoed = typeof session === "string" ? { "mcp-session-id": session } : {};
        response.writeHead(200, { "content-type": "text/event-stream", ...echoed }).flushHeaders();
        tools.set(String(message?.params?.["name"]), response);
      }
    }),
  );
  house = stack.use(
    await startTestHouse({
      tenants: conf(),
      replicas: { ingress: 2 },
      env: { EGRESS_UNREAD_TIMEOUT_MS: "2000" },
    }),
  );
});
afterAll(() => stack.disposeAsync());

const url = (at = 0, path = "/mcp/main") => `${house.house.of("ingress")[at]?.url}${path}`;
const note = (number: number) =>
  eventStreamOf([{ jsonrpc: "2.0", method: "notifications/message", params: { level: "info", data: number } }]);
const answer = (id: unknown) => eventStreamOf([{ jsonrpc: "2.0", id, result: { content: [] } }]);
const listening = (at = 0, agent = "a-1"): Sent => ({
  url: url(at),
  key: house.key(agent),
  method: "GET",
  headers: legacyHeaders,
});
const calling = (tool: string, at = 0, agent = "a-1"): Sent => ({
  url: url(at),
  key: house.key(agent),
  headers: legacyHeaders,
  body: call(`id-${tool}`, tool),
});
const after = (sent: Sent, lastEventId: string | undefined): Sent => ({
  url: sent.url,
  key: sent.key,
  method: "GET",
  headers: { ...legacyHeaders, "last-event-id": lastEventId ?? "none" },
});
async function statusOf(sent: Sent): Promise<number | undefined> {
  const response = await answerOf(open(sent));
  response.destroy();
  return response.statusCode;
}
const newOwn = async (before: number) =>
  await until("the upstream's own stream", () => (own.length > before ? own.at(-1) : undefined));
const toolOf = (tool: string) => until(`a call of ${tool}`, () => tools.get(tool));
async function outcomeOf(rpcId: string) {
  return await until(`the outcome of ${rpcId}`, async () => {
    const [row] = await house.query<{ status: number; fault: string | null }>(
      "select status, fault from audit_calls where rpc_id = $1 and state = 'done'",
      [JSON.stringify(rpcId)],
    );
    return row;
  });
}

describe("a client that came back", () => {
  it.each([0, 1])(
    "keeps its stream when its old connection closes only then (new one on replica %i, A21)",
    async (at) => {
      const before = own.length;
      const first = await listen(listening());
      const stream = await newOwn(before);
      stream.write(note(1));
      await first.count(1);
      const second = await listen(after(listening(at), first.events[0]?.id));
      expect(await first.finished()).toBe("end");
      stream.write(note(2));
      await second.count(1);
      first.leave();
      // Longer than a stream outlives its reader would take too long here: that the reader is still known shows sooner.
      const third = await listen(after(listening(), second.events[0]?.id));
      expect(await second.finished()).toBe("end");
      stream.write(note(3));
      await third.count(1);
      expect(closed.has(stream)).toBe(false);
      third.leave();
    },
  );

  it("gets the rest of an answer that goes on for longer than one without a reader may", async () => {
    const first = await listen(calling("patient"));
    const stream = await toolOf("patient");
    stream.write(note(1));
    await first.count(1);
    const second = await listen(after(calling("patient", 1), first.events[0]?.id));
    first.leave();
    const since = Date.now();
    for (let number = 2; Date.now() - since < 4_000; number++) {
      stream.write(note(number));
      await second.count(number - 1);
    }
    stream.end(answer("id-patient"));
    expect(await second.finished()).toBe("end");
    expect(second.messages.at(-1)).toMatchObject({ id: "id-patient", result: {} });
  });

  it("is the only reader of its stream, however often it comes back", async () => {
    const first = await listen(calling("crowd"));
    const stream = await toolOf("crowd");
    stream.write(note(1));
    await first.count(1);
    const again = after(calling("crowd"), first.events[0]?.id);
    const readers = [first];
    for (let count = 0; count < 20; count++) readers.push(await listen({ ...again, url: url(count % 2) }));
    await until("the end of all but one", () => readers.filter(({ ended }) => ended === undefined).length === 1);
    stream.write(note(2));
    stream.end(answer("id-crowd"));
    expect(await readers.at(-1)?.finished()).toBe("end");
    expect(readers.at(-1)?.messages).toHaveLength(2);
    expect(readers.filter(({ messages }) => messages.some(({ id }) => id === "id-crowd"))).toHaveLength(1);
  });
});

describe("a key that is taken away", () => {
  it("ends its streams of either era, cancels modern calls, carries out nothing that is still on its way, and resumes nothing (A8)", async () => {
    const key = house.key("a-3");
    const before = own.length;
    const stream = await listen(listening(0, "a-3"));
    const upstreams = await newOwn(before);
    upstreams.write(note(1));
    await stream.count(1);
    const legacy = await listen(calling("held", 1, "a-3"));
    const modern = await listen({
      url: url(),
      key,
      headers: modernHeaders("modern-held"),
      body: modernCall("id-modern-held", "modern-held"),
    });
    const held = await toolOf("modern-held");
    const others = await listen(calling("of-another", 0, "a-2"));
    const body = JSON.stringify(call("id-slow", "slow-body"));
    const slow = request(url(), {
      method: "POST",
      headers: { ...legacyHeaders, "content-type": "application/json", "x-agent-api-key": key },
    });
    const slowAnswer = answerOf(slow);
    slow.write(body.slice(0, 20));
    const revokedAt = Date.now();
    await house.configure(conf({ agents: ["a-1", "a-2"] }));
    await Promise.all([stream, legacy, modern].map((reader) => reader.finished()));
    await until("the upstream call to be cancelled", () => closed.has(held));
    expect(Date.now() - revokedAt).toBeLessThan(10_000);
    expect(others.ended).toBeUndefined();
    others.leave();
    slow.end(body.slice(20));
    expect((await slowAnswer).statusCode).toBe(401);
    expect(tools.has("slow-body")).toBe(false);
    const again = await send(after(listening(0, "a-3"), stream.events[0]?.id));
    expect(again.status).toBe(401);
    await house.configure(conf());
  });

  it("ends the streams of a server that is taken away", async () => {
    const other = await listen({ ...listening(), url: url(0, "/mcp/other") });
    await house.configure(conf({ endpoints: servers().slice(0, 1) }));
    await other.finished();
    await house.configure(conf());
  });
});

describe("the rest of an answer", () => {
  it("is not given any more once the tool was withdrawn", async () => {
    const first = await listen(calling("withdrawn"));
    const stream = await toolOf("withdrawn");
    stream.write(note(1));
    await first.count(1);
    first.leave();
    const again = after(calling("withdrawn", 1), first.events[0]?.id);
    await house.configure(conf({ denied: ["withdrawn"] }));
    await until("the refusal", async () => (await statusOf(again)) === 403);
    const refused = await send(again);
    expect(JSON.parse(refused.body.toString())).toMatchObject({ error: { data: { error: "tool_access_denied" } } });
    await house.configure(conf({ denied: ["withdrawn"], more: { settings: { hide_denied: true } } }));
    const unknown = await send(after(calling("x", 1), "i000000000000.0.1"));
    await until("the hidden refusal", async () => (await statusOf(again)) === 404);
    expect((await send(again)).body).toEqual(unknown.body);
    await house.configure(conf());
    stream.end(answer("id-withdrawn"));
  });
});

describe("a session's id", () => {
  it("reaches the client with an answer that is a stream, and lies in no stored frame (A31)", async () => {
    const body = { jsonrpc: "2.0", id: "open", method: "initialize", params: {} };
    const opened = await send({ url: url(), key: house.key("a-1"), headers: legacyHeaders, body });
    const id = String(opened.headers["mcp-session-id"]);
    expect(id).toMatch(/^[\w-]{20,}$/);
    const sent = calling("in-session");
    const reader = await listen({ ...sent, headers: { ...legacyHeaders, "mcp-session-id": id } });
    expect(reader.response.headers["mcp-session-id"]).toBe(id);
    const stream = await toolOf("in-session");
    stream.write(note(1));
    await reader.count(1);
    const again = after(sent, reader.events[0]?.id);
    const resumed = await listen({ ...again, headers: { ...again.headers, "mcp-session-id": id } });
    expect(resumed.response.headers["mcp-session-id"]).toBe(id);
    stream.end(answer("id-in-session"));
    await resumed.finished();
    const nats = await connectAs(house, "control");
    const { streams } = await jetstreamManager(nats);
    const { state } = await streams.info("REPLIES");
    let heads = 0;
    for (let seq = state.first_seq; seq <= state.last_seq; seq++) {
      const stored = await streams.getMessage("REPLIES", { seq }).catch(() => undefined);
      const text = Buffer.from(stored?.data ?? []).toString("latin1");
      expect(text).not.toContain(id);
      expect(text).not.toContain("session-of-the-upstream");
      if (text.includes(sessionNameOf(id))) heads++;
    }
    expect(heads).toBe(1);
    await nats.close();
  });
});

describe("a call that nobody took in time", () => {
  it("is not carried out after its client was told that it failed, and the audit trail says what the client was told", async () => {
    const egress = house.house.of("egress")[0];
    const pid = egress?.process.pid ?? 0;
    process.kill(pid, "SIGSTOP");
    const told = await send(calling("late")).finally(() => process.kill(pid, "SIGCONT"));
    expect(told.status).toBe(502);
    await until("calls to be carried out again", async () => {
      const stream = await listen(calling("punctual")).catch(() => undefined);
      stream?.leave();
      return stream;
    });
    expect(tools.has("late")).toBe(false);
    expect(await outcomeOf("id-late")).toEqual({ status: 502, fault: "upstream_failed" });
  });
});
