import { answerJson, FakeUpstream, startTestHouse, until, type TestHouse } from "@sluice/testing";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { AgentAuthorization } from "./agent-authorization.ts";
import {
  answerOf,
  call,
  EventReader,
  eventStreamOf,
  fingerprint,
  legacyHeaders,
  listen,
  modernCall,
  modernHeaders,
  open,
  send,
} from "./wire.ts";

const stack = new AsyncDisposableStack();
let house: TestHouse;
let authorization: AgentAuthorization;
let upstream: FakeUpstream;

beforeAll(async () => {
  authorization = stack.use(await AgentAuthorization.start());
  upstream = stack.use(
    await FakeUpstream.start(({ message, headers }, response) => {
      if (message?.id === undefined) return void response.writeHead(202).end();
      const { id, method, params } = message;
      const owner = String(headers["x-verified-agent-owner"]);
      if (params?.["name"] === "streamed") {
        const note = { jsonrpc: "2.0", method: "notifications/message", params: { level: "info", data: "private" } };
        response.writeHead(200, { "content-type": "text/event-stream" });
        return void response.end(eventStreamOf([note, { jsonrpc: "2.0", id, result: { content: [] } }]));
      }
      if (method === "initialize") response.setHeader("mcp-session-id", `of-${owner}`);
      const tool = { name: `of-${owner}`, inputSchema: { type: "object" } };
      const about = {
        protocolVersion: "2025-11-25",
        capabilities: { tools: {} },
        serverInfo: { name: "u", version: "1" },
      };
      answerJson(response, { jsonrpc: "2.0", id, result: { ...about, tools: [tool], content: [] } });
    }),
  );
  upstream.speaksModern = false;
  const tenant = (audience: string, names: readonly string[]) => ({
    agents: [],
    authentication: [{ type: "oauth2ClientCredentials", issuer: authorization.issuer, audience }],
    mcp: { endpoints: names.map((name) => ({ name, url: upstream.url, listCacheSeconds: 60 })) },
    accessRules: [{ agentPattern: "*", allowedTools: ["*"] }],
  });
  house = stack.use(
    await startTestHouse({
      tenants: { one: tenant("urn:one", ["main"]), many: tenant("urn:many", ["main", "second"]) },
      replicas: { ingress: 2 },
    }),
  );
});
afterAll(() => stack.disposeAsync());

const urlOf = (at = 0) => `${house.house.of("ingress")[at]?.url}`;
const bearer = async (sub: string, owner: string, { aud = "urn:one", scope = "mcp:tools:invoke" } = {}) => ({
  ...legacyHeaders,
  authorization: `Bearer ${await authorization.sign({ aud, sub, owner, scope })}`,
});
const moreScopes = { scope: "mcp:tools:invoke more" };
const initialize = {
  jsonrpc: "2.0",
  id: 1,
  method: "initialize",
  params: { protocolVersion: "2025-11-25", capabilities: {}, clientInfo: { name: "c", version: "1" } },
};

describe("two users whose tokens name the same agent", () => {
  it("A21, A19: one does not read the other's answer by Last-Event-ID", async () => {
    const [alice, bob] = [await bearer("alice", "red"), await bearer("bob", "red")];
    const own = await listen({ url: `${urlOf()}/mcp`, headers: alice, body: call(1, "streamed") });
    await own.finished();
    const lastEventId = own.events.find(({ data }) => data.includes("private"))?.id ?? "none";
    const resume = (headers: Record<string, string>, id = lastEventId) =>
      send({ url: `${urlOf(1)}/mcp`, method: "GET", headers: { ...headers, "last-event-id": id } });
    const foreign = await resume(bob);
    expect(foreign.status).toBe(404);
    expect(fingerprint(foreign)).toBe(fingerprint(await resume(bob, "garbage")));
    const rest = await resume(await bearer("alice", "red", moreScopes));
    expect([rest.status, rest.body.toString()]).toEqual([200, expect.stringContaining('"result"')]);
  });

  it.each([
    ["relayed", "urn:one"],
    ["mediated", "urn:many"],
  ])(
    "A19: one neither uses nor ends the other's %s session, who goes on in it with more scopes",
    async (_kind, aud) => {
      const [alice, bob] = [await bearer("alice", "red", { aud }), await bearer("bob", "red", { aud })];
      const url = `${urlOf()}/mcp`;
      const begun = await send({ url, headers: alice, body: initialize });
      const session = String(begun.headers["mcp-session-id"]);
      expect(begun.status).toBe(200);
      const made = "A".repeat(session.length);
      for (const method of ["POST", "GET", "DELETE"] as const) {
        const as = (id: string) =>
          send({
            url,
            method,
            headers: { ...bob, "mcp-session-id": id },
            ...(method === "POST" && { body: call(2, "echo") }),
          });
        const foreign = await as(session);
        expect(foreign.status, method).toBe(404);
        expect(fingerprint(foreign)).toBe(fingerprint(await as(made)));
      }
      const more = { ...(await bearer("alice", "red", { aud, ...moreScopes })), "mcp-session-id": session };
      const tool = aud === "urn:one" ? "of-red" : "main_of-red";
      const answered = await send({ url, headers: more, body: call(3, tool) });
      expect([answered.status, answered.body.toString()]).toEqual([200, expect.stringContaining('"result"')]);
    },
  );

  it("A19: one posts nothing into the other's event stream, on either replica", async () => {
    const [alice, bob] = [await bearer("alice", "red"), await bearer("bob", "red")];
    const response = await answerOf(open({ url: `${urlOf()}/mcp/sse`, method: "GET", headers: alice }));
    const reader = new EventReader(response);
    const endpoint = await until("the endpoint event", () => reader.events[0]?.data);
    for (const at of [0, 1]) {
      const post = (headers: Record<string, string>, path = endpoint) =>
        send({ url: urlOf(at) + path, headers, body: call(1, "echo") });
      const foreign = await post(bob);
      expect(foreign.status).toBe(404);
      expect(fingerprint(foreign)).toBe(fingerprint(await post(bob, `${endpoint.slice(0, -43)}${"A".repeat(43)}`)));
      expect((await post(alice)).status).toBe(202);
    }
    reader.leave();
  });

  it.each(["urn:one", "urn:many"])("are listed what the server lists for the owner of each (%s)", async (aud) => {
    const list = async (headers: Record<string, string>) =>
      (
        await send({ url: `${urlOf()}/mcp`, headers, body: { jsonrpc: "2.0", id: 1, method: "tools/list" } })
      ).body.toString();
    for (const team of ["red", "blue", "red"])
      expect(await list(await bearer("alice", team, { aud }))).toContain(`of-${team}`);
  });

  it("share no session with a legacy upstream that the gateway opens for modern clients", async () => {
    for (const owner of ["red", "blue", "red"]) {
      const { authorization: token } = await bearer("alice", owner);
      const headers = { ...modernHeaders(`of-${owner}`), authorization: token };
      const answered = await send({ url: `${urlOf()}/mcp`, headers, body: modernCall(1, `of-${owner}`) });
      expect([answered.status, answered.body.toString()]).toEqual([200, expect.stringContaining('"result"')]);
    }
    const used = upstream.requests.filter(({ headers }) => headers["mcp-session-id"] !== undefined);
    expect(used.map(({ headers }) => headers["mcp-session-id"])).toContain("of-blue");
    for (const { headers } of used)
      expect(headers["mcp-session-id"]).toBe(`of-${String(headers["x-verified-agent-owner"])}`);
  });
});
