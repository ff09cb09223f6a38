import { startTestHouse, until, type TestHouse } from "@sluice/testing";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { LegacyServer } from "./legacy-server.ts";
import { startOldSseServer, type OldSseServer } from "./old-sse-server.ts";
import { call, legacyHeaders, listen, modernHeaders, send, type RpcMessage } from "./wire.ts";

const stack = new AsyncDisposableStack();
const sessionSeconds = 10;
const sessionsPerAgent = 6;
const heldPerAgent = 4;
const replicas = 2;
/** Until an unused session is over and tidied up after. */
const overMs = (sessionSeconds + 20) * 1000;
let house: TestHouse;
let first: LegacyServer;
let second: LegacyServer;
let single: LegacyServer;
let leaving: LegacyServer;
/** Takes a server from a tenant. */
let edit: () => Promise<void>;
let old: OldSseServer;

beforeAll(async () => {
  [first, second, single, leaving] = [
    stack.use(await LegacyServer.start()),
    stack.use(await LegacyServer.start()),
    stack.use(await LegacyServer.start()),
    stack.use(await LegacyServer.start()),
  ];
  old = stack.use(await startOldSseServer());
  const agents = ["a-1", "a-2", "a-3", "a-4", "a-5"];
  const accessRules = [{ agentPattern: "*", allowedTools: ["*"] }];
  const tenantOf = (endpoints: object[]) => ({ agents, accessRules, mcp: { endpoints } });
  const tenants = {
    both: tenantOf([
      { name: "first", url: first.url },
      { name: "second", url: second.url },
    ]),
    one: tenantOf([{ name: "single", url: single.url }]),
    old: tenantOf([
      { name: "old", url: old.url },
      { name: "second", url: second.url },
    ]),
    edited: tenantOf([
      { name: "first", url: first.url },
      { name: "leaving", url: leaving.url },
    ]),
  };
  const edited = tenantOf([{ name: "first", url: first.url }]);
  edit = () => house.configure({ ...tenants, edited });
  house = stack.use(
    await startTestHouse({
      replicas: { egress: replicas, "session-manager": 2 },
      tenants,
      env: {
        SESSION_TTL_SECONDS: String(sessionSeconds),
        SESSION_MAX_PER_AGENT: String(sessionsPerAgent),
        EGRESS_MAX_SESSIONS_PER_AGENT: String(heldPerAgent),
      },
    }),
  );
});
afterAll(() => stack.disposeAsync());

class Client {
  readonly url = `${house.house.url}/mcp`;
  readonly key: string;
  session = "";
  #next = 1;

  constructor(tenant: string, agent: string) {
    this.key = house.key(agent, tenant);
  }

  get headers(): Record<string, string> {
    return { ...legacyHeaders, ...(this.session !== "" && { "mcp-session-id": this.session }) };
  }

  async initialize(): Promise<{ status: number; message: RpcMessage }> {
    const params = { protocolVersion: "2025-06-18", capabilities: {}, clientInfo: { name: "c", version: "1" } };
    const body = { jsonrpc: "2.0", id: 0, method: "initialize", params };
    const answer = await send({ url: this.url, key: this.key, body });
    this.session = String(answer.headers["mcp-session-id"] ?? "");
    return { status: answer.status, message: JSON.parse(answer.body.toString()) as RpcMessage };
  }

  async ask(method: string, params: object = {}): Promise<{ status: number; text: string }> {
    const { url, key, headers } = this;
    const body = { jsonrpc: "2.0", id: this.#next++, method, params };
    const answer = await send({ url, key, headers, body });
    return { status: answer.status, text: answer.body.toString() };
  }

  listen() {
    return listen({ url: this.url, key: this.key, method: "GET", headers: this.headers });
  }
}

async function connect(tenant: string, agent: string): Promise<Client> {
  const client = new Client(tenant, agent);
  expect((await client.initialize()).status).toBe(200);
  return client;
}

async function modernCall(
  agent: string,
  { client = "c", capabilities = {} }: { client?: string; capabilities?: object },
) {
  const { params, ...rest } = call(1, "echo");
  const _meta = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientInfo": { name: client, version: "1" },
    "io.modelcontextprotocol/clientCapabilities": capabilities,
  };
  return await send({
    url: `${house.house.url}/mcp`,
    key: house.key(agent, "one"),
    headers: modernHeaders("echo"),
    body: { ...rest, params: { ...params, _meta } },
  });
}

describe("what is kept of a session", () => {
  it("has room however much an upstream says of itself", async () => {
    first.instructions = "x".repeat(60_000);
    const client = new Client("both", "a-1");
    const { status, message } = await client.initialize();
    first.instructions = "";
    expect(status).toBe(200);
    expect(String(message.result?.["instructions"])).toHaveLength(60_000);
    expect((await client.ask("tools/list")).text).toMatch(/first_echo.*second_echo/);
  });

  it("leaves out the server whose session id cannot be kept, and ends what was opened there", async () => {
    const { newSession } = first;
    first.newSession = () => "s".repeat(12_000);
    const client = new Client("both", "a-1");
    const { status, message } = await client.initialize();
    first.newSession = newSession;
    expect(status).toBe(200);
    expect(message.result?.["_meta"]).toEqual({ "sluice/upstreams": { first: "unavailable", second: "ok" } });
    await until("the end of the session", () => [...first.sessions].every((id) => id.length < 12_000));
  });

  it("leaves nothing open at upstreams where the client says more of itself than can be kept", async () => {
    const before = second.opened;
    const params = { protocolVersion: "2025-06-18", capabilities: {}, clientInfo: { name: "x".repeat(40_000) } };
    const body = { jsonrpc: "2.0", id: 0, method: "initialize", params };
    expect((await send({ url: `${house.house.url}/mcp`, key: house.key("a-1", "both"), body })).status).toBe(400);
    expect(second.opened).toBe(before);
  });
});

describe("one session used by many calls at once, on two replicas", () => {
  it("keeps every subscription", async () => {
    const client = await connect("both", "a-2");
    const names = Array.from({ length: 12 }, (_, index) => `first+file:///r${index}`);
    const answers = await Promise.all(names.map((uri) => client.ask("resources/subscribe", { uri })));
    expect(answers.map(({ status }) => status)).toEqual(names.map(() => 200));
    const stream = await client.listen();
    await until("the stream at the upstream", () => first.streams.size > 0);
    for (const uri of names.map((name) => name.slice("first+".length)))
      first.say({ jsonrpc: "2.0", method: "notifications/resources/updated", params: { uri } });
    await stream.count(names.length);
    expect(stream.messages.map(({ params }) => params?.["uri"])).toEqual(names);
    stream.leave();
  });

  it("opens a session that the upstream forgot anew, leaves one, and renews what the client had asked for", async () => {
    const client = await connect("both", "a-3");
    await client.ask("resources/subscribe", { uri: "first+file:///kept" });
    await client.ask("logging/setLevel", { level: "error" });
    await client.ask("tools/call", { name: "first_echo", arguments: {} });
    first.forget();
    const [subscribed, levels] = [first.count("resources/subscribe"), first.count("logging/setLevel")];
    const calls = Array.from({ length: 20 }, () => client.ask("tools/call", { name: "first_echo", arguments: {} }));
    for (const { status, text } of await Promise.all(calls))
      expect([status, text]).toEqual([200, expect.stringContaining("done")]);
    await until("the losers' end", () => first.sessions.size === 1);
    expect(first.asked.get("resources/subscribe")?.slice(subscribed)).toContainEqual({ uri: "file:///kept" });
    expect(first.asked.get("logging/setLevel")?.slice(levels)).toContainEqual({ level: "error" });
  });
});

describe("sessions that egress opens for agents without one", () => {
  it("are ended where the upstream knows them no more, the stream included", async () => {
    single.on["tools/call"] = (_request, response) => void response.writeHead(404).end();
    for (let turn = 0; turn < 10; turn++) expect((await modernCall("a-1", {})).status).toBe(502);
    delete single.on["tools/call"];
    await until("all sessions but those in use", () => single.sessions.size <= replicas);
    await until("all streams but those in use", () => single.streams.size <= replicas);
  });

  it("stay few however many names the client gives itself", async () => {
    const capabilities = { elicitation: { form: {} } };
    for (let turn = 0; turn < 30; turn++) {
      const said = { client: `c-${turn}`, ...(turn % 2 === 0 && { capabilities }) };
      expect((await modernCall("a-2", said)).status).toBe(200);
    }
    await until("few sessions", () => single.sessions.size <= replicas * (heldPerAgent + 1));
    await until("few streams", () => single.streams.size <= replicas * (heldPerAgent + 1));
  });

  it("are refused to the agent that uses all of its own, and to no other", async () => {
    const held: (() => void)[] = [];
    single.on["tools/call"] = (_request, _response, reply) => void held.push(() => reply({ content: [] }));
    const capabilities = { elicitation: { form: {} } };
    const most = replicas * heldPerAgent;
    const calls = Array.from({ length: most * 2 }, () => modernCall("a-3", { capabilities }));
    const refused: number[] = [];
    for (const one of calls) void one.then(({ status }) => status !== 200 && refused.push(status));
    await until("the refusals", () => refused.length + held.length === calls.length);
    delete single.on["tools/call"];
    expect(held.length).toBeLessThanOrEqual(most);
    expect(new Set(refused)).toEqual(new Set([503]));
    expect((await modernCall("a-4", { capabilities })).status).toBe(200);
    for (const answer of held) answer();
    await Promise.all(calls);
    expect((await modernCall("a-3", { capabilities })).status).toBe(200);
  });
});

describe("a client that leaves without a word", () => {
  it("holds no more connections of the old transport than one agent may, and none when its sessions are over", async () => {
    const clients: Client[] = [];
    for (let turn = 0; turn < heldPerAgent * replicas + 4; turn++) {
      const client = new Client("old", "a-1");
      await client.initialize();
      clients.push(client);
    }
    await until("the end of the eldest", () => old.connections() <= heldPerAgent * replicas);
    const answer = await clients.at(-1)?.ask("tools/call", { name: "old_old_shout", arguments: { text: "here" } });
    expect(answer?.text).toContain("HERE");
    await until("the end of all connections", () => old.connections() === 0, overMs);
  }, 90_000);

  it("has its sessions at the upstreams ended when its own is over", async () => {
    const before = new Set(second.sessions);
    await connect("both", "a-4");
    const mine = [...second.sessions].filter((id) => !before.has(id));
    expect(mine).toHaveLength(1);
    await until("the end of the upstream's session", () => !second.sessions.has(mine[0] ?? ""), overMs);
  }, 90_000);

  it("loses its oldest session, and the upstreams' with it, where it opens more than one agent may", async () => {
    const clients: Client[] = [];
    clients.push(await connect("both", "a-5"));
    const inner = [...second.sessions].at(-1) ?? "";
    for (let turn = 1; turn <= sessionsPerAgent; turn++) clients.push(await connect("both", "a-5"));
    expect((await clients[0]?.ask("tools/list"))?.status).toBe(404);
    expect((await clients.at(-1)?.ask("tools/list"))?.status).toBe(200);
    expect((await clients[1]?.ask("tools/list"))?.status).toBe(200);
    await until("the end of its session at the upstream", () => !second.sessions.has(inner));
  });

  it("has its session ended at a server that an edit takes away", async () => {
    await connect("edited", "a-1");
    expect(leaving.sessions.size).toBe(1);
    await edit();
    await until("the end of the session", () => leaving.sessions.size === 0, (sessionSeconds * 1000) / 2);
  });

  it("leaves no session at a server that answered initialize too late", async () => {
    const late = Promise.withResolvers<void>();
    const closing = new Set(second.sessions);
    second.on["initialize"] = (request, response) => void late.promise.then(() => second.initialize(request, response));
    const client = new Client("both", "a-4");
    const { message } = await client.initialize();
    expect(message.result?.["_meta"]).toEqual({ "sluice/upstreams": { first: "ok", second: "unavailable" } });
    const opened = second.opened;
    delete second.on["initialize"];
    late.resolve();
    await until("the late session", () => second.opened > opened);
    await until("its end", () => [...second.sessions].every((id) => closing.has(id)));
  }, 60_000);
});
