import { once } from "node:events";
import { answerJson, FakeUpstream, startTestHouse, until, type ReceivedRequest, type TestHouse } from "@sluice/testing";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { answerOf, call, EventReader, eventStreamOf, open, send, type RpcMessage } from "./wire.ts";

let house: TestHouse;
let upstream: FakeUpstream;
const stack = new AsyncDisposableStack();
const held: (() => void)[] = [];

beforeAll(async () => {
  upstream = stack.use(await FakeUpstream.start(serve));
  house = stack.use(
    await startTestHouse({
      tenants: {
        acme: {
          agents: ["a-1", "limited-1"],
          mcp: { endpoints: [{ name: "main", url: upstream.url }] },
          accessRules: [{ agentPattern: "*", allowedTools: ["*"], deniedTools: ["execute_code"] }],
          limits: [{ path: "/mcp/tools/call", agentPattern: "limited-*", maxRequests: 2, windowSeconds: 600 }],
          settings: { max_payload_bytes: 1024 * 1024 },
        },
      },
    }),
  );
});
afterAll(() => stack.disposeAsync());
beforeEach(() => {
  upstream.requests.splice(0);
  held.splice(0);
});

type Response = Parameters<FakeUpstream["handler"]>[1];

/** Refuses batches as upstreams of later revisions do; the tool's name says how a call is answered. */
function serve({ method, message, body }: ReceivedRequest, response: Response): void {
  if (body.toString().trimStart().startsWith("[")) return refuse(response, -32600, "no batches");
  const id = message?.id;
  if (message?.method === "initialize") {
    const result = { protocolVersion: "2025-03-26", capabilities: {}, serverInfo: { name: "f", version: "1" } };
    return answerJson(response, { jsonrpc: "2.0", id, result }, { "mcp-session-id": "upstream-session" });
  }
  if (method !== "POST" || id === undefined || message?.method === undefined) return void response.writeHead(202).end();
  const tool = String(message.params?.["name"]);
  const answer = { jsonrpc: "2.0", id, result: { content: [{ type: "text", text: `${tool} done` }] } };
  const progress = { jsonrpc: "2.0", method: "notifications/progress", params: { progressToken: id, progress: 1 } };
  const stream = { "content-type": "text/event-stream" };
  if (tool === "hold") held.push(() => answerJson(response, answer));
  else if (tool === "streamed") response.writeHead(200, stream).end(eventStreamOf([answer]));
  else if (tool === "progress") response.writeHead(200, stream).end(eventStreamOf([progress, answer]));
  else if (tool === "asks")
    response.writeHead(200, stream).end(eventStreamOf([{ jsonrpc: "2.0", id: "s-1", method: "ping" }, answer]));
  else if (tool === "nameless") refuse(response, -32000, "bad session");
  else if (tool === "html") response.writeHead(500, { "content-type": "text/html" }).end("<html>");
  else answerJson(response, answer);
}

function refuse(response: Response, code: number, message: string): void {
  const body = JSON.stringify({ jsonrpc: "2.0", id: null, error: { code, message } });
  response.writeHead(400, { "content-type": "application/json" }).end(body);
}

const post = (body: unknown, headers: Record<string, string> = {}, agent = "a-1") =>
  send({ url: `${house.house.url}/mcp`, key: house.key(agent), headers, body });
const old = { "mcp-protocol-version": "2025-03-26" };
const messagesOf = ({ body }: { body: Buffer }) => JSON.parse(body.toString()) as RpcMessage[];
const done = (id: number | string, tool: string) => ({
  jsonrpc: "2.0",
  id,
  result: { content: [{ type: "text", text: `${tool} done` }] },
});
const notification = { jsonrpc: "2.0", method: "notifications/progress", params: { progressToken: 1, progress: 1 } };

describe("A10: a batch", () => {
  it.each([{}, old, { "mcp-protocol-version": "2024-11-05" }])(
    "with the version %o is accepted; each message goes upstream by itself with its own bytes",
    async (headers) => {
      const parts = [
        '{"jsonrpc":"2.0", "id":1e0,  "method":"tools/call","params":{"name":"one","arguments":{"n":1.0}}}',
        '{"params":{"name":"streamed"},"method":"tools/call","id":"\\u0061","jsonrpc":"2.0"}',
        JSON.stringify(notification),
      ];
      const answer = await post(Buffer.from(` [ ${parts.join(" ,\n")} ] `), headers);
      expect(answer.status).toBe(200);
      expect(answer.headers["content-type"]).toBe("application/json");
      expect(messagesOf(answer)).toEqual([done(1, "one"), done("a", "streamed")]);
      expect(upstream.requests.map(({ body }) => body.toString()).toSorted()).toEqual(parts.toSorted());
    },
  );

  it.each(["2025-06-18", "2025-11-25", "2026-07-28", "1999-01-01"])(
    "with the version %s answers 400 and goes nowhere",
    async (version) => {
      const answer = await post([call(1, "one")], { "mcp-protocol-version": version });
      expect(answer.status).toBe(400);
      expect(JSON.parse(answer.body.toString())).toMatchObject({ id: null, error: { code: -32600 } });
      expect(upstream.requests).toEqual([]);
    },
  );

  const modern = { "io.modelcontextprotocol/protocolVersion": "2026-07-28" };
  const refused: Record<string, unknown> = {
    "that is empty": [],
    "with initialize in it": [call(1, "one"), { jsonrpc: "2.0", id: 2, method: "initialize", params: {} }],
    "with a message of the modern era": [{ ...call(1, "one"), params: { name: "one", _meta: modern } }],
    "of 33 messages": Array.from({ length: 33 }, (_, id) => call(id, "one")),
    "that does not end": Buffer.from(`[${JSON.stringify(call(1, "one"))}`),
    "with a key twice": Buffer.from(`[${JSON.stringify(call(1, "one"))},{"jsonrpc":"2.0","id":1,"id":2}]`),
  };
  it.each(Object.entries(refused))("%s answers 400 as a whole and goes nowhere", async (_name, body) => {
    const answer = await post(body, old);
    expect(answer.status).toBe(400);
    expect(JSON.parse(answer.body.toString())).toMatchObject({ id: null, error: { code: expect.any(Number) } });
    expect(upstream.requests).toEqual([]);
  });

  it("is bounded in size and type like a single message: 413, 415", async () => {
    expect((await post([call(1, "one", { text: "x".repeat(1024 * 1024) })], old)).status).toBe(413);
    expect((await post([call(1, "one")], { ...old, "content-type": "text/plain" })).status).toBe(415);
  });

  it("is authorised message by message: what is denied or limited is refused in its place, the rest goes on", async () => {
    const denied = await post([call(1, "execute_code"), call(2, "one"), call(3, "EXECUTE_CODE".toLowerCase())], old);
    expect(denied.status).toBe(200);
    const refusal = { code: 1403, data: { error: "tool_access_denied" } };
    expect(messagesOf(denied)).toMatchObject([{ id: 1, error: refusal }, done(2, "one"), { id: 3, error: refusal }]);
    expect(upstream.requests).toHaveLength(1);
    const limited = await post(
      [1, 2, 3, 4].map((id) => call(id, "one")),
      old,
      "limited-1",
    );
    expect(messagesOf(limited)).toMatchObject([
      done(1, "one"),
      done(2, "one"),
      { id: 3, error: { code: 1429 } },
      { id: 4, error: { code: 1429 } },
    ]);
    expect(upstream.requests).toHaveLength(3);
  });

  it("with a broken message answers that one with an error, and the rest", async () => {
    const answer = await post([1, { jsonrpc: "1.0", id: 5, method: "x" }, [call(6, "one")], call(7, "one")], old);
    expect(answer.status).toBe(200);
    const broken = { id: null, error: { code: -32600 } };
    expect(messagesOf(answer)).toMatchObject([broken, broken, broken, done(7, "one")]);
  });

  it("answers each request of its own where the upstream names none or speaks no JSON", async () => {
    const answer = await post([call(1, "nameless"), call(2, "html"), call(3, "one")], old);
    expect(messagesOf(answer)).toMatchObject([
      { id: 1, error: { code: -32000, message: "bad session" } },
      { id: 2, error: { code: 1502 } },
      done(3, "one"),
    ]);
  });

  it("of notifications and answers only is answered 202", async () => {
    const answer = await post([notification, { jsonrpc: "2.0", id: "s-1", result: {} }], old);
    expect([answer.status, answer.body.length]).toEqual([202, 0]);
    expect(upstream.requests).toHaveLength(2);
  });

  it("is answered in the order of its requests, however they end", async () => {
    const answer = post([call(1, "hold"), call(2, "one")], old);
    await until("the held call", () => held.length === 1 && upstream.requests.length === 2);
    held[0]?.();
    expect(messagesOf(await answer)).toEqual([done(1, "hold"), done(2, "one")]);
  });

  it.each(["progress", "asks"])(
    "becomes an event stream when something comes that is no answer (%s), each message as soon as it comes",
    async (tool) => {
      const body = [call(1, "hold"), call(2, tool), call(3, "execute_code")];
      const response = await answerOf(
        open({ url: `${house.house.url}/mcp`, key: house.key("a-1"), headers: old, body }),
      );
      expect(response.headers["content-type"]).toBe("text/event-stream");
      const reader = new EventReader(response);
      await reader.count(3);
      expect(reader.ended).toBeUndefined();
      expect(reader.messages.some(({ method }) => method !== undefined)).toBe(true);
      held[0]?.();
      expect(await reader.finished()).toBe("end");
      const answers = reader.messages.filter(({ method }) => method === undefined);
      expect(new Set(answers.map(({ id }) => id))).toEqual(new Set([1, 2, 3]));
      expect(answers).toHaveLength(3);
      expect(reader.messages.at(-1)).toEqual(done(1, "hold"));
    },
  );

  it("in a session goes on in it; one that is unknown answers 404 as a whole", async () => {
    const opened = await post({ jsonrpc: "2.0", id: 0, method: "initialize", params: {} }, old);
    const session = { ...old, "mcp-session-id": String(opened.headers["mcp-session-id"]) };
    expect(messagesOf(await post([call(1, "one"), call(2, "one")], session))).toHaveLength(2);
    expect(upstream.requests.slice(1).map(({ headers }) => headers["mcp-session-id"])).toEqual([
      "upstream-session",
      "upstream-session",
    ]);
    for (const body of [[call(1, "one"), notification], [notification]]) {
      const unknown = await post(body, { ...old, "mcp-session-id": "made-up" });
      expect(unknown.status).toBe(404);
      expect(JSON.parse(unknown.body.toString())).toMatchObject({ error: { data: { error: "session_not_found" } } });
    }
    expect(upstream.requests).toHaveLength(3);
  });

  it("has an intent and an outcome of its own for each message in the audit trail", async () => {
    await post([call("audit-1", "one"), call("audit-2", "execute_code"), call("audit-3", "progress")], old);
    const rows = await until("three outcomes", async () => {
      const found = await house.query<{ rpc_id: string; decision: string }>(
        `select rpc_id, decision from audit_calls where rpc_id like '"audit-%' and state = 'done' order by rpc_id`,
      );
      return found.length === 3 ? found : undefined;
    });
    expect(rows.map(({ decision }) => decision)).toEqual(["allow", "deny", "allow"]);
  });

  it("whose client leaves is not waited for, and the gateway goes on", async () => {
    const opened = open({
      url: `${house.house.url}/mcp`,
      key: house.key("a-1"),
      headers: old,
      body: [call(1, "hold"), call(2, "progress")],
    });
    const response = await answerOf(opened);
    response.on("error", () => {});
    const closed = once(response, "close");
    response.destroy();
    await closed;
    expect((await post([call(3, "one")], old)).status).toBe(200);
    for (const release of held) release();
  });
});
