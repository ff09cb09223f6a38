import { answerJson, FakeUpstream, startTestHouse, until, type ReceivedRequest, type TestHouse } from "@sluice/testing";
import type { ServerResponse } from "node:http";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { eventStreamOf, legacyHeaders, modernHeaders, send } from "./wire.ts";

/** Legacy servers; what each does with a call of a tool is scripted per test. */
const stack = new AsyncDisposableStack();
let house: TestHouse;
let script: (name: string, request: ReceivedRequest, response: ServerResponse) => void;
const ran: string[] = [];
const shared = "doc://readme";
/** The agent's answer to a question has come. */
let answered = Promise.withResolvers<void>();

function legacyServer(server: string, tools: readonly string[]) {
  const has: Record<string, object> = {
    "tools/list": { tools: tools.map((name) => ({ name, inputSchema: {} })) },
    "resources/list": { resources: [{ uri: shared, name: "readme" }] },
    "resources/read": { contents: [{ uri: shared, text: `of ${server}` }] },
  };
  return (request: ReceivedRequest, response: ServerResponse): void => {
    const { method, message } = request;
    const reply = (result: unknown, headers = {}) =>
      answerJson(response, { jsonrpc: "2.0", id: message?.id, result }, headers);
    if (method === "GET") return script("GET", request, response);
    if (method !== "POST") return void response.writeHead(200).end();
    if (message?.method === "server/discover") return void response.writeHead(400).end();
    if (message?.method === "initialize") {
      const about = { capabilities: { tools: {}, resources: {} }, serverInfo: { name: "scripted", version: "1" } };
      return reply({ protocolVersion: "2025-11-25", ...about }, { "mcp-session-id": `s-${Math.random()}` });
    }
    const known = has[message?.method ?? ""];
    if (known !== undefined) return reply(known);
    if (message?.id !== undefined && message.method === undefined) answered.resolve();
    if (message?.method !== "tools/call") return void response.writeHead(202).end();
    const name = String(message.params?.["name"]);
    ran.push(name);
    script(name, request, response);
  };
}

const tenants = (env: string, toolPrefix = "conditional") => ({
  acme: {
    agents: ["a-1"],
    mcp: {
      toolPrefix,
      endpoints: [
        { name: "one", url: stackUrls[0], listCacheSeconds: 0 },
        {
          name: "two",
          url: stackUrls[1],
          listCacheSeconds: 0,
          ...(env !== "" && { signing: { keyId: "k", secret: `\${env:${env}}` } }),
        },
      ],
    },
    accessRules: [{ agentPattern: "*", allowedTools: ["*"], deniedTools: ["one_secret", "secret"] }],
  },
});
const stackUrls: string[] = [];

beforeAll(async () => {
  const servers = [
    stack.use(await FakeUpstream.start(legacyServer("one", ["work", "one_secret", "shared"]))),
    stack.use(await FakeUpstream.start(legacyServer("two", ["other", "shared"]))),
  ];
  for (const server of servers) server.speaksModern = false;
  stackUrls.push(...servers.map(({ url }) => url));
  const env = { EGRESS_CONNECTIONS_PER_UPSTREAM: "8", EGRESS_MAX_WAITING_PER_UPSTREAM: "2" };
  house = stack.use(await startTestHouse({ tenants: tenants(""), env }));
});
afterAll(() => stack.disposeAsync());
beforeEach(() => {
  ran.length = 0;
  script = (name, { message }, response) =>
    answerJson(response, { jsonrpc: "2.0", id: message?.id, result: { content: [{ type: "text", text: name }] } });
});

const meta = {
  "io.modelcontextprotocol/protocolVersion": "2026-07-28",
  "io.modelcontextprotocol/clientCapabilities": {},
};

interface Heard {
  readonly result?: {
    requestState?: string;
    inputRequests?: object;
    content?: { uri?: string }[];
    contents?: object[];
  };
  readonly error?: { code: number; message: string };
  readonly params?: { progressToken?: unknown };
}

/** Sends a request of the modern era; the answer comes last. */
async function ask(method: string, params: Record<string, unknown>, path = "/mcp/one") {
  const answer = await send({
    url: `${house.house.url}${path}`,
    key: house.key("a-1"),
    headers: { ...modernHeaders(String(params["name"] ?? params["uri"])), "mcp-method": method },
    body: { jsonrpc: "2.0", id: 1, method, params: { ...params, _meta: { ...meta, ...(params["_meta"] as object) } } },
  });
  const text = answer.body.toString();
  const data = [...text.matchAll(/^data: (\{.*\})$/gm)].map((found) => found[1] ?? "");
  const messages = (data.length > 0 ? data : [text]).map((one) => JSON.parse(one) as Heard);
  return { status: answer.status, messages, message: messages.at(-1) ?? {} };
}

const modern = (name: string, path?: string) => ask("tools/call", { name, arguments: {} }, path);

describe("policy and execution mean the same thing by a name (A12)", () => {
  it("a tool that is denied does not run under its prefix, nor while a server is unusable, nor during edits", async () => {
    expect((await modern("one_one_secret", "/mcp")).status).toBe(403);
    expect((await modern("one_secret", "/mcp")).status).toBe(403);
    await house.configure(tenants("NOT_SET_ANYWHERE"));
    await until(
      "the endpoint to be closed",
      async () => (await modern("two_other", "/mcp")).message.result === undefined,
    );
    for (const name of ["one_secret", "one_one_secret"]) await modern(name, "/mcp");
    expect(ran.filter((name) => name.endsWith("secret"))).toEqual([]);
    let editing = true;
    const load = (async () => {
      while (editing)
        await Promise.all([modern("one_secret", "/mcp"), modern("one_one_secret", "/mcp"), modern("work", "/mcp")]);
    })();
    for (let edits = 0; edits < 6; edits++) {
      await house.configure(tenants("", edits % 2 === 0 ? "never" : "conditional"));
      await sleep(300);
    }
    editing = false;
    await load;
    expect(ran).toContain("work");
    expect(ran.filter((name) => name.endsWith("secret"))).toEqual([]);
    await house.configure(tenants(""));
    await until("the servers to be back", async () => (await modern("other", "/mcp")).message.result !== undefined);
  });
});

describe("a call is sent to a legacy upstream once", () => {
  it("also when its stream breaks off and cannot be taken up again", async () => {
    script = (name, _request, response) => {
      if (name === "GET") return void response.writeHead(404).end();
      response.writeHead(200, { "content-type": "text/event-stream" });
      response.write("id: 1\ndata:\n\n");
      setTimeout(() => response.end(), 50);
    };
    const { message } = await modern("work");
    expect(message.error?.message).toMatch(/unknown/);
    expect(ran).toEqual(["work"]);
  });

  it("also when the answer is an error under HTTP 404, which is the upstream's own", async () => {
    script = (_name, { message }, response) => {
      response.writeHead(404, { "content-type": "application/json" });
      response.end(
        JSON.stringify({ jsonrpc: "2.0", id: message?.id, error: { code: -32000, message: "no such row" } }),
      );
    };
    expect((await modern("work")).message.error).toEqual({ code: -32000, message: "no such row" });
    expect(ran).toEqual(["work"]);
  });
});

describe("what belongs to one request or server stays with it", () => {
  it("progress after a question has the token of the retry, and there is none for a retry without", async () => {
    script = (_name, { message }, response) => {
      if (message === undefined) return void response.writeHead(405).end();
      answered = Promise.withResolvers();
      const token = (message.params?.["_meta"] as { progressToken?: unknown } | undefined)?.progressToken;
      const question = {
        jsonrpc: "2.0",
        id: "q",
        method: "elicitation/create",
        params: { message: "?", requestedSchema: {} },
      };
      response.writeHead(200, { "content-type": "text/event-stream" }).write(eventStreamOf([question]));
      void answered.promise.then(() => {
        const progress = {
          jsonrpc: "2.0",
          method: "notifications/progress",
          params: { progressToken: token, progress: 1 },
        };
        response.end(eventStreamOf([progress, { jsonrpc: "2.0", id: message.id, result: { content: [] } }]));
      });
    };
    const can = { "io.modelcontextprotocol/clientCapabilities": { elicitation: { form: {} } } };
    for (const second of [{ progressToken: "second" }, {}]) {
      const call = { name: "work", arguments: {} };
      const first = await ask("tools/call", { ...call, _meta: { ...can, progressToken: "first" } });
      const { requestState = "", inputRequests = {} } = first.message.result ?? {};
      const inputResponses = Object.fromEntries(Object.keys(inputRequests).map((key) => [key, { action: "decline" }]));
      const done = await ask("tools/call", { ...call, requestState, inputResponses, _meta: { ...can, ...second } });
      expect(done.messages.slice(0, -1).map(({ params }) => params?.progressToken)).toEqual(Object.values(second));
      expect(done.message.result).toBeDefined();
    }
  });

  it("a resource that a tool's result names is read from that tool's server", async () => {
    script = (_name, { message }, response) => {
      const content = [{ type: "resource_link", uri: shared, name: "readme" }];
      answerJson(response, { jsonrpc: "2.0", id: message?.id, result: { content } });
    };
    for (const [tool, server] of [
      ["work", "one"],
      ["other", "two"],
    ] as const) {
      const uri = (await modern(tool, "/mcp")).message.result?.content?.[0]?.uri ?? "";
      expect(uri).toBe(`${server}+${shared}`);
      const { message } = await ask("resources/read", { uri }, "/mcp");
      expect(message.result?.contents).toEqual([{ uri, text: `of ${server}` }]);
    }
  });
});

describe("what an upstream sends oddly", () => {
  it("an answer in a stream that stays open does not keep its connection", async () => {
    script = (_name, { message }, response) => {
      if (message === undefined) return void response.writeHead(405).end();
      response.writeHead(200, { "content-type": "text/event-stream" });
      response.write(eventStreamOf([{ jsonrpc: "2.0", id: message.id, result: { content: [] } }]));
    };
    for (let calls = 0; calls < 30; calls += 5) {
      const answers = await Promise.all(Array.from({ length: 5 }, () => modern("work")));
      expect(answers.every(({ message }) => message.result !== undefined)).toBe(true);
      await sleep(1_100);
    }
  });

  it.each([
    ["a null error beside a result", { result: { content: [] }, error: null }, undefined],
    ["an error that is a text", { error: "boom" }, -32603],
    ["a code that no number of ours holds", { error: { code: 12345678901234567890n, message: "big" } }, -32603],
  ])("%s is told as what it is, alone and after progress", async (_what, answer, code) => {
    const text = (id: unknown) =>
      JSON.stringify({ jsonrpc: "2.0", id, ...answer }, (_key, value: unknown) =>
        typeof value === "bigint" ? Number(value) : value,
      ).replace("12345678901234567000", "12345678901234567890");
    for (const inStream of [false, true]) {
      script = (_name, { message }, response) => {
        if (message === undefined) return void response.writeHead(405).end();
        response.writeHead(200, { "content-type": inStream ? "text/event-stream" : "application/json" });
        response.end(inStream ? `data: ${text(message.id)}\n\n` : text(message.id));
      };
      const { status, message } = await modern("work");
      expect(status).toBe(200);
      expect(message.error?.code).toBe(code);
      expect(message.result === undefined).toBe(code !== undefined);
    }
  });

  it("an agent's answer under an id beyond all numbers is accepted and concerns nobody", async () => {
    const key = house.key("a-1");
    const url = `${house.house.url}/mcp`;
    const params = { protocolVersion: "2025-11-25", capabilities: {}, clientInfo: { name: "raw", version: "1" } };
    const opened = await send({ url, key, body: { jsonrpc: "2.0", id: 1, method: "initialize", params } });
    const headers = {
      ...legacyHeaders,
      "mcp-session-id": String(opened.headers["mcp-session-id"]),
      "content-type": "application/json",
    };
    const body = Buffer.from('{"jsonrpc":"2.0","id":12345678901234567890,"result":{}}');
    expect((await send({ url, key, headers, body })).status).toBe(202);
  });
});
