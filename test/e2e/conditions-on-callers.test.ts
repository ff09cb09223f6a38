import { answerJson, FakeUpstream, startTestHouse, until, type TestHouse } from "@sluice/testing";
import { afterAll, beforeAll, expect, it } from "vitest";
import { adminCall } from "./admin-call.ts";
import { AgentAuthorization } from "./agent-authorization.ts";
import { json, send, toolCall } from "./http.ts";

const stack = new AsyncDisposableStack();
let house: TestHouse;
let authorization: AgentAuthorization;
const names = ["open", "scoped", "alices", "named", "both"];

beforeAll(async () => {
  authorization = stack.use(await AgentAuthorization.start());
  const upstream = stack.use(
    await FakeUpstream.start(({ message }, response) => {
      const tools = names.map((name) => ({ name, inputSchema: { type: "object" } }));
      const result = { resultType: "complete", tools, content: [], ttlMs: 60_000, cacheScope: "public" };
      answerJson(response, { jsonrpc: "2.0", id: message?.id, result });
    }),
  );
  const both = "user.id == 'alice' && 'mcp:admin' in token.scopes && args.path.startsWith('/tmp/')";
  house = stack.use(
    await startTestHouse({
      tenants: {
        acme: {
          agents: [],
          authentication: [{ type: "oauth2ClientCredentials", issuer: authorization.issuer, audience: "urn:acme" }],
          mcp: { endpoints: [{ name: "main", url: upstream.url }] },
          accessRules: [
            { agentPattern: "*", allowedTools: ["open"] },
            { agentPattern: "*", when: "'mcp:admin' in token.scopes", allowedTools: ["scoped"] },
            { agentPattern: "*", when: "user.id == 'alice'", allowedTools: ["alices"] },
            { agentPattern: "*", when: `token.issuer == '${authorization.issuer}'`, allowedTools: ["named"] },
            { agentPattern: "*", when: both, allowedTools: ["both"] },
          ],
        },
      },
    }),
  );
});
afterAll(() => stack.disposeAsync());

it("P5: two tokens of one agent are told apart by scopes and user, call by call, and in the same cached list", async () => {
  const url = `${house.house.url}/mcp`;
  const scope = "mcp:tools:invoke";
  const plain = await authorization.sign({ aud: "urn:acme", scope });
  const admin = await authorization.sign({ aud: "urn:acme", scope: `${scope} mcp:admin`, sub: "alice" });
  const post = (token: string, body: string) =>
    send(url, { headers: { ...json, authorization: `Bearer ${token}` }, body });
  const list = async (token: string) => {
    const { text } = await post(token, JSON.stringify({ jsonrpc: "2.0", id: 1, method: "tools/list" }));
    return (JSON.parse(text) as { result: { tools: { name: string }[] } }).result.tools.map(({ name }) => name);
  };
  for (let round = 0; round < 3; round++) {
    expect(await list(plain)).toEqual(["open", "named"]);
    expect(await list(admin)).toEqual(names);
    for (const name of ["scoped", "alices", "both"]) {
      expect((await post(admin, toolCall(name, { path: "/tmp/x" }))).status, name).toBe(200);
      expect((await post(plain, toolCall(name, { path: "/tmp/x" }))).status, name).toBe(403);
    }
    expect((await post(admin, toolCall("both", { path: "/etc/x" }))).status).toBe(403);
    expect((await post(plain, toolCall("named"))).status).toBe(200);
  }
});

it("P5: scopes and operator of a gateway token count in conditions as those of an OAuth token do", async () => {
  const make = async (body: object) => {
    const made = await adminCall(house, { path: "/v1/tenants/acme/tokens", body: { runtime: "run-1", ...body } });
    expect(made.status).toBe(201);
    return String(made.body["token"]);
  };
  const statusOf = async (token: string, tool: string) =>
    (
      await send(`${house.house.url}/mcp`, {
        headers: { ...json, authorization: `Bearer ${token}` },
        body: toolCall(tool),
      })
    ).status;
  const scoped = await make({ scopes: ["mcp:admin"] });
  const plain = await make({});
  await until("the tokens on ingress", async () => (await statusOf(scoped, "open")) === 200);
  await until("the tokens on ingress", async () => (await statusOf(plain, "open")) === 200);
  expect([await statusOf(scoped, "scoped"), await statusOf(plain, "scoped")]).toEqual([200, 403]);
  expect(await statusOf(scoped, "alices")).toBe(403);
});
