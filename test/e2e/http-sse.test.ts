import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { SSEClientTransport } from "@modelcontextprotocol/sdk/client/sse.js";
import {
  CreateMessageRequestSchema,
  ElicitRequestSchema,
  ListRootsRequestSchema,
} from "@modelcontextprotocol/sdk/types.js";
import { answerJson, FakeUpstream, startTestHouse, until, type TestHouse } from "@sluice/testing";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startEverything } from "./everything.ts";
import { answerOf, call, EventReader, fingerprint, open, send, type RpcMessage } from "./wire.ts";

const allowedTools = ["echo", "get-sum", "trigger-*"];
let house: TestHouse;
let scripted: FakeUpstream;
const stack = new AsyncDisposableStack();

beforeAll(async () => {
  const everything = stack.use(await startEverything());
  scripted = stack.use(await FakeUpstream.start());
  const main = { name: "everything", url: everything.url };
  const accessRules = [
    { agentPattern: "a-*", allowedTools, deniedTools: ["trigger-sampling-request"] },
    { agentPattern: "admin-*", allowedTools: ["*"] },
  ];
  house = stack.use(
    await startTestHouse({
      tenants: {
        acme: { agents: ["a-1", "a-2", "admin-1", "greedy-1"], mcp: { endpoints: [main] }, accessRules },
        many: { agents: ["a-1"], mcp: { endpoints: [main, { ...main, name: "second" }] }, accessRules },
        other: { agents: ["a-1"], mcp: { endpoints: [main, { name: "scripted", url: scripted.url }] }, accessRules },
      },
      replicas: { ingress: 2 },
      env: { MAX_SSE_SESSIONS_PER_AGENT: "4", SSE_KEEP_ALIVE_MS: "300" },
    }),
  );
});
afterAll(() => stack.disposeAsync());

const replicas = () => house.house.of("ingress");
const urlOf = (at: number) => replicas()[at]?.url ?? "";
const textOf = (result: unknown) => (result as { content: { text: string }[] }).content[0]?.text;

/** A client whose event stream is at one replica, while what it posts goes to both in turn. */
async function connect(
  agent: string,
  client = new Client({ name: "test", version: "1" }),
  { path = "/mcp/sse", tenant = "acme" } = {},
) {
  const [owner, another] = [urlOf(0), urlOf(1)];
  const statuses: number[] = [];
  let posted = 0;
  // oxlint-disable-next-line typescript/no-deprecated -- clients of the old transport are what is tested
  const transport = new SSEClientTransport(new URL(owner + path), {
    requestInit: { headers: { "x-agent-api-key": house.key(agent, tenant) } },
    fetch: async (url, init) => {
      if (init?.method !== "POST") return await fetch(url, init);
      const { pathname, search } = new URL(url);
      const answer = await fetch(`${posted++ % 2 === 0 ? another : owner}${pathname}${search}`, init);
      statuses.push(answer.status);
      return answer;
    },
  });
  await client.connect(transport);
  return { client, statuses, [Symbol.asyncDispose]: () => client.close() };
}

/** An event stream as it is on the wire. */
async function openStream(agent: string, { tenant = "acme", path = "/mcp/sse", at = 0 } = {}) {
  const opened = open({ url: urlOf(at) + path, key: house.key(agent, tenant), method: "GET" });
  const response = await answerOf(opened);
  expect(response.statusCode).toBe(200);
  expect(response.headers["content-type"]).toBe("text/event-stream");
  const reader = new EventReader(response);
  const endpoint = await until("the endpoint event", () => reader.events[0]?.data);
  return { endpoint, reader };
}

describe("an HTTP+SSE client whose posts reach both replicas in turn", () => {
  it("initializes, lists the allowed tools and calls them", async () => {
    await using connected = await connect("a-1");
    const { client, statuses } = connected;
    expect(client.getServerVersion()?.name).toMatch(/everything/);
    const { tools } = await client.listTools();
    expect(tools.map(({ name }) => name).toSorted()).toEqual(["echo", "get-sum", "trigger-long-running-operation"]);
    for (const message of ["one", "two"])
      expect(textOf(await client.callTool({ name: "echo", arguments: { message } }))).toBe(`Echo: ${message}`);
    expect(new Set(statuses)).toEqual(new Set([202]));
  });

  it("is refused what policy denies by an error on its stream, and stays usable", async () => {
    await using connected = await connect("a-1", undefined, { path: "/mcp/everything/sse" });
    const { client } = connected;
    await expect(client.callTool({ name: "get-env" })).rejects.toMatchObject({
      code: 1403,
      data: { error: "tool_access_denied", allowedTools },
    });
    expect(textOf(await client.callTool({ name: "echo", arguments: { message: "still" } }))).toBe("Echo: still");
  });

  it("answers the server's own requests: sampling, elicitation and roots", async () => {
    const capabilities = { sampling: {}, elicitation: {}, roots: { listChanged: true } };
    const client = new Client({ name: "test", version: "1" }, { capabilities });
    const rootsAsked = Promise.withResolvers<void>();
    client.setRequestHandler(ListRootsRequestSchema, () => {
      rootsAsked.resolve();
      return { roots: [{ uri: "file:///workspace", name: "workspace" }] };
    });
    client.setRequestHandler(CreateMessageRequestSchema, ({ params }) => ({
      model: "test-model",
      role: "assistant",
      content: { type: "text", text: `sampled ${params.maxTokens}` },
    }));
    client.setRequestHandler(ElicitRequestSchema, () => ({ action: "accept", content: { name: "Ada" } }));
    await using _connected = await connect("admin-1", client);
    await rootsAsked.promise;
    const sampling = { name: "trigger-sampling-request", arguments: { prompt: "say", maxTokens: 7 } };
    await until("the server to offer sampling", async () =>
      (await client.listTools()).tools.some(({ name }) => name === sampling.name),
    );
    expect(textOf(await client.callTool(sampling))).toContain("sampled 7");
    expect(JSON.stringify(await client.callTool({ name: "trigger-elicitation-request" }))).toContain("Ada");
  });

  it("may send messages that fit no message of the bus", async () => {
    await using connected = await connect("a-1");
    for (const size of [400_000, 3_000_000]) {
      for (const letter of ["x", "y"]) {
        const message = letter.repeat(size);
        const answer = textOf(await connected.client.callTool({ name: "echo", arguments: { message } }));
        expect(answer?.length).toBe(size + "Echo: ".length);
      }
    }
  });

  it("reaches all servers of its tenant where there are several", async () => {
    await using connected = await connect("a-1", undefined, { tenant: "many" });
    const { client } = connected;
    expect((await client.listTools()).tools.map(({ name }) => name)).toEqual(
      expect.arrayContaining(["everything_echo", "second_echo"]),
    );
    const echo = { name: "second_echo", arguments: { message: "one of many" } };
    expect(textOf(await client.callTool(echo))).toBe("Echo: one of many");
  });

  it("has each of its messages in the audit trail, and its upstream session ends with its stream", async () => {
    const connected = await connect("a-2");
    await connected.client.callTool({ name: "echo", arguments: { message: "audited" } });
    await connected.client.close();
    const wanted = ["GET", "initialize", "notifications/initialized", "tools/call", "GET", "DELETE"].toSorted();
    await until("every message with its outcome", async () => {
      const rows = await house.query<{ method: string }>(
        "select method from audit_calls where agent_id = 'a-2' and state = 'done' order by 1",
      );
      return wanted.every((method) => rows.some((row) => row.method === method)) && rows.length >= wanted.length;
    });
  });
});

describe("the session of an HTTP+SSE client", () => {
  it("answers another agent, another tenant and a made-up id with the same 404, byte for byte, on both replicas (A19)", async () => {
    const { endpoint, reader } = await openStream("a-1");
    expect(endpoint).toMatch(/^\/mcp\/messages\?session=i[0-9a-f]{12}\.[A-Za-z0-9_-]{43}$/);
    const post = (at: number, agent: string, path = endpoint, tenant = "acme") =>
      send({ url: urlOf(at) + path, key: house.key(agent, tenant), body: call(1, "echo", { message: "hi" }) });
    const made = endpoint.slice(0, -43) + "A".repeat(43);
    const nobody = endpoint.replace(/i[0-9a-f]{12}/, "i000000000000");
    const unknown = await post(0, "a-1", made);
    expect(unknown.status).toBe(404);
    for (const at of [0, 1]) {
      for (const other of [
        await post(at, "a-2"),
        await post(at, "a-1", endpoint, "other"),
        await post(at, "a-1", made),
        await post(at, "a-1", nobody),
        await post(at, "a-1", "/mcp/messages?session=%22'*.%3E"),
        await post(at, "a-1", "/mcp/messages"),
      ])
        expect(fingerprint(other)).toBe(fingerprint(unknown));
      expect((await post(at, "a-1")).status).toBe(202);
    }
    reader.leave();
    await until("the session to be over", async () => (await post(1, "a-1")).status === 404);
  });

  it("refuses at once what is no message: 415, 400", async () => {
    const { endpoint, reader } = await openStream("a-1");
    for (const at of [0, 1]) {
      const url = urlOf(at) + endpoint;
      const key = house.key("a-1");
      const plain = { url, key, headers: { "content-type": "text/plain" } };
      expect((await send({ ...plain, body: call(1, "echo") })).status).toBe(415);
      expect((await send({ url, key, body: Buffer.from('{"jsonrpc":"2.0",') })).status).toBe(400);
      const headers = { "mcp-protocol-version": "2026-07-28" };
      expect((await send({ url, key, headers, body: call(1, "echo") })).status).toBe(400);
    }
    reader.leave();
  });

  it("is held open by comments, and an agent may have so many of them and no more", async () => {
    const streams = await Promise.all(Array.from({ length: 4 }, () => openStream("greedy-1")));
    const refused = await send({ url: `${urlOf(0)}/mcp/sse`, key: house.key("greedy-1"), method: "GET" });
    expect(refused.status).toBe(503);
    expect(refused.headers["retry-after"]).toBeDefined();
    await until("comments", () => streams.every(({ reader }) => reader.comments >= 2));
    streams[0]?.reader.leave();
    const again = await until("room for another", () => openStream("greedy-1").catch(() => undefined));
    for (const { reader } of [...streams, again]) reader.leave();
  });
});

describe("the upstream of an HTTP+SSE client", () => {
  const initialize = {
    jsonrpc: "2.0",
    id: 0,
    method: "initialize",
    params: { protocolVersion: "2025-06-18", capabilities: {}, clientInfo: { name: "t", version: "1" } },
  };
  const result = { protocolVersion: "2025-06-18", capabilities: {}, serverInfo: { name: "f", version: "1" } };

  it("gets its messages as the later transport has them, in one session, with the revision that was agreed upon", async () => {
    scripted.handler = ({ method, message }, response) => {
      if (method === "GET") response.writeHead(405).end();
      else if (message?.id === undefined) response.writeHead(202).end();
      else if (message.method !== "initialize") answerJson(response, { jsonrpc: "2.0", id: message.id, result: {} });
      else answerJson(response, { jsonrpc: "2.0", id: message.id, result }, { "mcp-session-id": "up-1" });
    };
    const { endpoint, reader } = await openStream("a-1", { tenant: "other", path: "/mcp/scripted/sse", at: 1 });
    const key = house.key("a-1", "other");
    const headers = { accept: "*/*" };
    const post = (body: unknown) => send({ url: urlOf(0) + endpoint, key, headers, body });
    expect((await post(initialize)).status).toBe(202);
    await until("the answer", () => reader.events.length === 2);
    expect((await post({ jsonrpc: "2.0", method: "notifications/initialized" })).status).toBe(202);
    expect((await post([call(1, "echo"), call(2, "get-env"), { id: 3 }])).status).toBe(202);
    await until("the answers", () => reader.events.length === 5);
    expect(reader.events.slice(2).map(({ data }) => JSON.parse(data) as unknown)).toEqual(
      expect.arrayContaining([
        { jsonrpc: "2.0", id: 1, result: {} },
        expect.objectContaining({ id: 2, error: expect.objectContaining({ code: 1403 }) }),
        expect.objectContaining({ id: null, error: expect.objectContaining({ code: -32600 }) }),
      ]),
    );
    await until("GET", () => scripted.requests.some(({ method }) => method === "GET"));
    reader.leave();
    await until("DELETE", () => scripted.requests.some(({ method }) => method === "DELETE"));
    const [first, ...later] = scripted.requests;
    expect(first?.headers["mcp-session-id"]).toBeUndefined();
    expect(first?.headers["accept"]).toBe("application/json, text/event-stream");
    expect(later.map(({ method, message }) => message?.method ?? method).toSorted()).toEqual([
      "DELETE",
      "GET",
      "notifications/initialized",
      "tools/call",
    ]);
    for (const request of later) {
      expect(request.headers["mcp-session-id"]).toBe("up-1");
      expect(request.headers["mcp-protocol-version"]).toBe("2025-06-18");
    }
    expect(scripted.everything).not.toContain(key);
  });

  it("may forget the session: the call is answered with an error and the stream ends, so that the client begins anew", async () => {
    scripted.handler = ({ message }, response) => {
      if (message?.method === "initialize")
        answerJson(response, { jsonrpc: "2.0", id: message.id, result }, { "mcp-session-id": "up-2" });
      else response.writeHead(404).end();
    };
    const { endpoint, reader } = await openStream("a-1", { tenant: "other", path: "/mcp/scripted/sse" });
    const post = (body: unknown) => send({ url: urlOf(1) + endpoint, key: house.key("a-1", "other"), body });
    await post(initialize);
    await until("the answer", () => reader.events.length === 2);
    expect((await post(call(7, "echo"))).status).toBe(202);
    expect(await reader.finished()).toBe("end");
    expect(JSON.parse(reader.events[2]?.data ?? "")).toMatchObject({ id: 7, error: { code: expect.any(Number) } });
    expect((await post(call(8, "echo"))).status).toBe(404);
  });
});

describe("when the replica ends that has the stream", () => {
  it("by kill -9: what is posted answers 404, and the client connects anew", async () => {
    const { endpoint, reader } = await openStream("a-1");
    const [owner] = replicas();
    if (owner === undefined) throw new Error("no replica");
    owner.endedOnPurpose = true;
    await owner.process.stop("SIGKILL");
    await reader.finished();
    const post = () => send({ url: urlOf(0) + endpoint, key: house.key("a-1"), body: call(1, "echo") });
    expect(
      (
        await until("the word that nobody has it", async () => {
          const answer = await post();
          return answer.status === 404 ? answer : undefined;
        })
      ).status,
    ).toBe(404);
    await house.house.add("ingress");
    await using connected = await connect("a-1");
    expect(textOf(await connected.client.callTool({ name: "echo", arguments: { message: "back" } }))).toBe(
      "Echo: back",
    );
  });

  it("by SIGTERM: calls under way go on to their answers, progress before them, then the stream ends in order", async () => {
    const { endpoint, reader } = await openStream("admin-1");
    const post = async (body: unknown) => {
      const answer = await send({ url: urlOf(1) + endpoint, key: house.key("admin-1"), body });
      expect(answer.status).toBe(202);
    };
    const clientInfo = { name: "t", version: "1" };
    const params = { protocolVersion: "2025-03-26", capabilities: {}, clientInfo };
    await post({ jsonrpc: "2.0", id: 0, method: "initialize", params });
    await until("the answer to initialize", () => reader.events.some(({ data }) => data.includes("serverInfo")));
    await post({ jsonrpc: "2.0", method: "notifications/initialized" });
    const { params: args, ...long } = call(1, "trigger-long-running-operation", { duration: 2, steps: 3 });
    await post({ ...long, params: { ...args, _meta: { progressToken: "p" } } });
    const [owner] = replicas();
    if (owner === undefined) throw new Error("no replica");
    owner.endedOnPurpose = true;
    const stopped = owner.process.stop("SIGTERM", 25_000);
    expect(await reader.finished(20_000)).toBe("end");
    const messages = reader.events.slice(1).map(({ data }) => JSON.parse(data) as RpcMessage);
    const steps = messages.filter(({ method }) => method === "notifications/progress");
    expect(steps.map(({ params: step }) => step?.["progress"])).toEqual([1, 2, 3]);
    expect(messages.at(-1)).toMatchObject({ id: 1, result: { content: [{ type: "text" }] } });
    expect(await stopped).toEqual({ code: 0, signal: null });
  });
});
