import { answerJson, FakeUpstream, startTestHouse, until, type ReceivedRequest, type TestHouse } from "@sluice/testing";
import type { ServerResponse } from "node:http";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { send } from "./wire.ts";

const stack = new AsyncDisposableStack();
let house: TestHouse;

type Era = "legacy" | "modern";

/** An upstream whose era can be turned. It answers `ask` with a question first, and lists what the caller may see. */
class TurningServer {
  readonly era: { now: Era };
  upstream!: FakeUpstream;
  readonly calls: string[] = [];
  readonly #sessions = new Map<string, Record<string, unknown>>();
  readonly #waiting = new Map<unknown, (answer: unknown) => void>();

  constructor(era: Era) {
    this.era = { now: era };
  }

  static async start(era: Era): Promise<TurningServer> {
    const server = new TurningServer(era);
    server.upstream = stack.use(await FakeUpstream.start((request, response) => server.#answer(request, response)));
    server.upstream.speaksModern = false;
    return server;
  }

  get endpoint() {
    return { url: this.upstream.url };
  }

  #answer({ method, headers, message }: ReceivedRequest, response: ServerResponse): void {
    const isModern = headers["mcp-protocol-version"] === "2026-07-28";
    const refuse = (status: number, code: number) =>
      void response
        .writeHead(status, { "content-type": "application/json" })
        .end(JSON.stringify({ jsonrpc: "2.0", id: message?.id ?? null, error: { code, message: "no" } }));
    if (this.era.now === "modern")
      return isModern ? this.#modern(message, response) : refuse(400, method === "POST" ? -32022 : -32600);
    if (isModern) return refuse(400, -32000);
    const session = String(headers["mcp-session-id"] ?? "");
    if (method === "DELETE") return void response.writeHead(this.#sessions.delete(session) ? 200 : 404).end();
    if (method !== "POST") return void response.writeHead(405).end();
    this.#legacy({ message, session, user: String(headers["x-user"]) }, response);
  }

  #modern(message: ReceivedRequest["message"], response: ServerResponse): void {
    const result =
      message?.method === "server/discover"
        ? { supportedVersions: ["2026-07-28"], capabilities: { tools: {} } }
        : message?.method === "tools/list"
          ? { tools: [{ name: "echo", inputSchema: { type: "object" } }] }
          : { content: [{ type: "text", text: "modern" }] };
    if (message?.method === "tools/call") this.calls.push("modern");
    answerJson(response, { jsonrpc: "2.0", id: message?.id, result: { resultType: "complete", ...result } });
  }

  #legacy(
    { message, session, user }: { message: ReceivedRequest["message"]; session: string; user: string },
    response: ServerResponse,
  ): void {
    const reply = (result: unknown, extra = {}) =>
      answerJson(response, { jsonrpc: "2.0", id: message?.id, result }, extra);
    if (message?.method === "initialize") {
      const id = `session-${this.#sessions.size}-${Math.random()}`;
      this.#sessions.set(id, message.params?.["capabilities"] as Record<string, unknown>);
      const serverInfo = { name: "turning", version: "1" };
      return reply(
        { protocolVersion: "2025-06-18", capabilities: { tools: {} }, serverInfo },
        { "mcp-session-id": id },
      );
    }
    const capabilities = this.#sessions.get(session);
    if (capabilities === undefined) return void response.writeHead(404).end();
    if (message?.method === undefined) {
      this.#waiting.get(message?.id)?.(message);
      return void response.writeHead(202).end();
    }
    if (message.id === undefined) return void response.writeHead(202).end();
    if (message.method === "tools/list") {
      const names = ["echo", "ask", `of-${user}`, ...(capabilities["sampling"] === undefined ? [] : ["sampler"])];
      return reply({ tools: names.map((name) => ({ name, inputSchema: { type: "object" } })) });
    }
    if (message.params?.["name"] === "ask") return this.#ask(message.id, response);
    this.calls.push("legacy");
    reply({ content: [{ type: "text", text: "legacy" }] });
  }

  #ask(id: unknown, response: ServerResponse): void {
    const question = `question-${String(id)}`;
    const params = { message: "who?", requestedSchema: { type: "object", properties: {} } };
    const event = (message: unknown) => `data: ${JSON.stringify(message)}\n\n`;
    response.writeHead(200, { "content-type": "text/event-stream" });
    response.write(event({ jsonrpc: "2.0", id: question, method: "elicitation/create", params }));
    const text = (answer: unknown) => JSON.stringify((answer as { result: unknown }).result);
    this.#waiting.set(question, (answer) =>
      response.end(event({ jsonrpc: "2.0", id, result: { content: [{ type: "text", text: text(answer) }] } })),
    );
  }
}

let servers: Record<"parking" | "users" | "turns" | "returns", TurningServer>;

beforeAll(async () => {
  servers = {
    parking: await TurningServer.start("legacy"),
    users: await TurningServer.start("legacy"),
    turns: await TurningServer.start("legacy"),
    returns: await TurningServer.start("modern"),
  };
  const tenants = Object.entries(servers).map(([name, { endpoint }]) => [
    name,
    {
      agents: ["a-1", "a-2"],
      accessRules: [{ agentPattern: "*", allowedTools: ["*"] }],
      mcp: { endpoints: [{ name: "only", forwardHeaders: ["x-user"], ...endpoint }] },
    },
  ]);
  const [agents, accessRules] = [["a-1"], [{ agentPattern: "*", allowedTools: ["*"] }]];
  const two = [
    { name: "named", forwardHeaders: ["x-user"], ...servers.users.endpoint },
    { name: "not-named", ...servers.parking.endpoint },
  ];
  house = stack.use(
    await startTestHouse({
      replicas: { egress: 2 },
      tenants: { ...Object.fromEntries(tenants), two: { agents, accessRules, mcp: { endpoints: two } } },
      env: {
        EGRESS_CONNECTIONS_PER_UPSTREAM: "12",
        EGRESS_MAX_WAITING_PER_UPSTREAM: "0",
        EGRESS_MAX_PARKED_PER_AGENT: "3",
      },
    }),
  );
});
afterAll(() => stack.disposeAsync());

interface Asking {
  readonly agent?: string;
  readonly capabilities?: Record<string, unknown>;
  readonly user?: string;
}

interface Answer {
  readonly status: number;
  readonly error?: { code: number; message: string };
  readonly result?: {
    resultType?: string;
    requestState?: string;
    inputRequests?: Record<string, unknown>;
    content?: { text: string }[];
    tools?: { name: string }[];
  };
}

async function ask(
  tenant: string,
  { method, params = {} }: { method: string; params?: Record<string, unknown> },
  { agent = "a-1", capabilities = {}, user = "nobody" }: Asking = {},
): Promise<Answer> {
  const { status, body } = await send({
    url: `${house.house.url}/mcp`,
    key: house.key(agent, tenant),
    headers: {
      "mcp-protocol-version": "2026-07-28",
      "mcp-method": method,
      "x-user": user,
      ...(typeof params["name"] === "string" && { "mcp-name": params["name"] }),
    },
    body: {
      jsonrpc: "2.0",
      id: 1,
      method,
      params: {
        ...params,
        _meta: {
          "io.modelcontextprotocol/protocolVersion": "2026-07-28",
          "io.modelcontextprotocol/clientCapabilities": capabilities,
        },
      },
    },
  });
  return { status, ...(JSON.parse(body.toString()) as Omit<Answer, "status">) };
}

const tool = (name: string, more: Record<string, unknown> = {}) => ({
  method: "tools/call",
  params: { name, arguments: {}, ...more },
});
/** What a call is sent again with. */
function answersTo({ requestState, inputRequests = {} }: NonNullable<Answer["result"]> = {}) {
  const keys = Object.keys(inputRequests);
  const inputResponses = Object.fromEntries(keys.map((key) => [key, { action: "accept", content: { name: "Ada" } }]));
  return { requestState, inputResponses };
}
const elicitation = { capabilities: { elicitation: { form: {} } } };
const legacyInitialize = (tenant: string) =>
  send({
    url: `${house.house.url}/mcp`,
    key: house.key("a-1", tenant),
    body: {
      jsonrpc: "2.0",
      id: 0,
      method: "initialize",
      params: { protocolVersion: "2025-06-18", capabilities: {}, clientInfo: { name: "x", version: "1" } },
    },
  });

describe("calls that wait for answers of their agents", () => {
  it("leave room for other agents however many one agent begins, and its newest are still good", async () => {
    const begun: Answer[] = [];
    for (let at = 0; at < 40; at++) begun.push(await ask("parking", tool("ask", { arguments: { at } }), elicitation));
    expect(new Set(begun.map(({ result }) => result?.resultType))).toEqual(new Set(["input_required"]));
    expect((await ask("parking", tool("echo"), { agent: "a-2" })).result?.content?.[0]?.text).toBe("legacy");
    const ended: string[] = [];
    for (const [at, { result }] of begun.toReversed().entries()) {
      const answer = await ask(
        "parking",
        tool("ask", { arguments: { at: 39 - at }, ...answersTo(result) }),
        elicitation,
      );
      ended.push(answer.result?.content?.[0]?.text ?? String(answer.error?.code));
    }
    expect(ended[0]).toContain("Ada");
    const perReplica = ended.filter((text) => text.includes("Ada")).length / house.house.of("egress").length;
    expect(perReplica).toBeLessThanOrEqual(3);
    expect(ended.at(-1)).toBe("-32602");
  });
});

describe("what an upstream lists", () => {
  const names = async (asking: Asking) =>
    ((await ask("users", { method: "tools/list" }, asking)).result?.tools ?? []).map(({ name }) => name);

  it("is for the user whom the agent speaks for, where the endpoint lets that header field through", async () => {
    expect(await names({ user: "alice" })).toContain("of-alice");
    expect(await names({ user: "bob" })).toContain("of-bob");
    expect(await names({ user: "bob" })).not.toContain("of-alice");
  });

  it("is for what the client can do", async () => {
    expect(await names({})).not.toContain("sampler");
    expect(await names({ capabilities: { sampling: {} } })).toContain("sampler");
  });
});

it("a header field of the client's goes to the servers that name it alone, also where several share an address", async () => {
  servers.parking.upstream.requests.length = 0;
  const { result } = await ask("two", { method: "tools/list" }, { user: "carol" });
  expect(result?.tools?.map(({ name }) => name)).toEqual(expect.arrayContaining(["of-carol", "of-undefined"]));
  expect(servers.parking.upstream.everything).not.toContain("carol");
});

it("a method that is a word of JavaScript's own is an unknown method", async () => {
  for (const method of ["constructor", "toString", "__proto__"])
    expect(await ask("users", { method })).toMatchObject({ status: 404, error: { code: -32601 } });
});

describe("an upstream that turns to the other era", () => {
  it("is spoken to in the modern one by the next call, whatever the agent speaks", async () => {
    const { era, calls } = servers.turns;
    const texts = async () => (await ask("turns", tool("echo"))).result?.content?.[0]?.text;
    expect(await texts()).toBe("legacy");
    era.now = "modern";
    expect(await texts()).toBe("modern");
    expect((await legacyInitialize("turns")).status).toBe(200);
    expect(calls).toEqual(["legacy", "modern"]);
  });

  it("is spoken to in the legacy one by the next call, whatever the agent speaks", async () => {
    const { era, calls } = servers.returns;
    const texts = async () => (await ask("returns", tool("echo"))).result?.content?.[0]?.text;
    expect(await texts()).toBe("modern");
    expect((await legacyInitialize("returns")).status).toBe(200);
    era.now = "legacy";
    expect(await texts()).toBe("legacy");
    expect((await legacyInitialize("returns")).status).toBe(200);
    expect(calls).toEqual(["modern", "legacy"]);
  });
});

it("an egress that stops waits for the answers that its parked calls need", async () => {
  const asked = await ask("parking", tool("ask"), elicitation);
  const replicas = house.house.of("egress");
  const running = new Set(replicas);
  for (const replica of replicas) {
    replica.endedOnPurpose = true;
    void replica.process.stop("SIGTERM", 25_000).then(() => running.delete(replica));
  }
  await until("the replica that waits for nothing has stopped", () => running.size === 1);
  const answer = await ask("parking", tool("ask", answersTo(asked.result)), elicitation);
  expect(answer.result?.content?.[0]?.text).toContain("Ada");
  await until("the other has stopped too", () => running.size === 0);
});
