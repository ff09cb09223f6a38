import type { ServerResponse } from "node:http";
import { Client as ModernClient, StreamableHTTPClientTransport as ModernTransport } from "@modelcontextprotocol/client";
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import { answerJson, FakeUpstream, startTestHouse, until, type ReceivedRequest, type TestHouse } from "@sluice/testing";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { startEverything } from "./everything.ts";
import { startModernServer } from "./modern-server.ts";
import { eventStreamOf, fingerprint, legacyHeaders, listen, send } from "./wire.ts";

const features = "demo://resource/static/document/features.md";
const text = (id: number | string) => `demo://resource/dynamic/text/${id}`;
const stack = new AsyncDisposableStack();
let house: TestHouse;
let fake: FakeUpstream;

beforeAll(async () => {
  const [everything, modern] = [stack.use(await startEverything()), stack.use(await startModernServer())];
  fake = stack.use(await FakeUpstream.start());
  const tenant = {
    agents: ["guest-1", "closed-1", "free-1"],
    mcp: {
      endpoints: [
        { name: "everything", url: everything.url },
        { name: "modern", url: modern.url },
        { name: "fake", url: fake.url, listCacheSeconds: 0 },
      ],
    },
    accessRules: [
      {
        agentPattern: "guest-*",
        allowedTools: ["echo", "shout"],
        deniedPrompts: ["args-*", "secret-*"],
        allowedResources: [features, text("*"), "notes://desk/*"],
        deniedResources: [text(7), "notes://desk/secret"],
      },
      { agentPattern: "closed-*", allowedTools: ["echo"], allowedPrompts: ["simple-prompt"], allowedResources: [] },
      { agentPattern: "free-*", allowedTools: ["*"] },
    ],
    limits: [{ path: "/mcp/tools/call", tool: "echo", agentPattern: "free-*", maxRequests: 0, windowSeconds: 60 }],
  };
  const settings = (more: object) => ({ ...tenant, settings: more });
  house = stack.use(
    await startTestHouse({
      tenants: { open: tenant, hiding: settings({ hide_denied: true }), mild: settings({ denied_status: 200 }) },
    }),
  );
});
afterAll(() => stack.disposeAsync());
beforeEach(() => void fake.requests.splice(0));

const urlOf = (server: string) => new URL(`${house.house.url}/mcp/${server}`);
const headersOf = (agent: string, tenant: string) => ({
  requestInit: { headers: { "x-agent-api-key": house.key(agent, tenant) } },
});

async function classic(tenant: string) {
  const client = new Client({ name: "test", version: "1" });
  const transport = new StreamableHTTPClientTransport(urlOf("everything"), headersOf("guest-1", tenant));
  await client.connect(transport as Parameters<Client["connect"]>[0]);
  return { client, [Symbol.asyncDispose]: () => client.close() };
}

async function successor(tenant: string, server: string, mode: "legacy" | { pin: string }) {
  const client = new ModernClient({ name: "test", version: "1" }, { versionNegotiation: { mode } });
  await client.connect(new ModernTransport(urlOf(server), headersOf("guest-1", tenant)));
  return { client, [Symbol.asyncDispose]: () => client.close() };
}

const thrownBy = (call: Promise<unknown>) =>
  call.then(
    () => expect.unreachable("the call was not refused"),
    (thrown: unknown) => thrown as Error & { code?: number },
  );
const rpcText = /Error POSTing to endpoint: (\{.*\})$/s;
const bodyOf = (error: Error) => (JSON.parse(rpcText.exec(error.message)?.[1] ?? "{}") as { error: unknown }).error;

/** The second turns -32002 of the legacy era into the code of the modern one. */
describe.each([
  ["@modelcontextprotocol/sdk 1.x", (tenant: string) => classic(tenant), -32002],
  ["@modelcontextprotocol/client 2.x", (tenant: string) => successor(tenant, "everything", "legacy"), -32602],
] as const)("%s against the everything server", (_name, connect, raisedForUnknownResource) => {
  it("lists of tools, prompts, resources and templates show what may be used, and that can be used (A12)", async () => {
    await using connected = await connect("open");
    const { client } = connected;
    expect((await client.listTools()).tools.map(({ name }) => name)).toEqual(["echo"]);
    const prompts = (await client.listPrompts()).prompts.map(({ name }) => name).toSorted();
    expect(prompts).toEqual(["completable-prompt", "resource-prompt", "simple-prompt"]);
    expect((await client.listResources()).resources.map(({ uri }) => uri)).toEqual([features]);
    const { resourceTemplates } = await client.listResourceTemplates();
    expect(resourceTemplates.map(({ uriTemplate }) => uriTemplate)).toEqual([text("{resourceId}")]);
    expect((await client.getPrompt({ name: "simple-prompt" })).messages).toHaveLength(1);
    for (const uri of [features, text(1)])
      expect((await client.readResource({ uri })).contents[0]).toMatchObject({ uri });
    const argument = { name: "department", value: "E" };
    const { completion } = await client.complete({ ref: { type: "ref/prompt", name: "completable-prompt" }, argument });
    expect(completion.values).toEqual(["Engineering"]);
  });

  it("a denied prompt or resource raises the body of the policy, and the client stays usable (A12)", async () => {
    await using connected = await connect("open");
    const { client } = connected;
    const prompt = {
      code: 1403,
      data: {
        error: "prompt_access_denied",
        message: "Agent 'guest-1' is not authorized to use prompt 'args-prompt'",
        allowedPrompts: ["*"],
      },
    };
    const resource = (uri: string) => ({
      code: 1403,
      data: {
        error: "resource_access_denied",
        message: `Agent 'guest-1' is not authorized to access resource '${uri}'`,
        allowedResources: [features, text("*"), "notes://desk/*"],
      },
    });
    const ref = { type: "ref/prompt", name: "args-prompt" } as const;
    const argument = { name: "city", value: "B" };
    expect(bodyOf(await thrownBy(client.getPrompt({ name: "args-prompt" })))).toMatchObject(prompt);
    expect(bodyOf(await thrownBy(client.complete({ ref, argument })))).toMatchObject(prompt);
    const blobs = "demo://resource/dynamic/blob/{resourceId}";
    const template = {
      ref: { type: "ref/resource", uri: blobs },
      argument: { name: "resourceId", value: "" },
    } as const;
    expect(bodyOf(await thrownBy(client.complete(template)))).toMatchObject(resource(blobs));
    expect(bodyOf(await thrownBy(client.readResource({ uri: text(7) })))).toMatchObject(resource(text(7)));
    expect(bodyOf(await thrownBy(client.subscribeResource({ uri: text(7) })))).toMatchObject(resource(text(7)));
    expect((await client.readResource({ uri: text(1) })).contents).toHaveLength(1);
  });

  it("where the tenant hides what it denies, the client hears that there is no such thing, and stays usable (A12)", async () => {
    await using connected = await connect("hiding");
    const { client } = connected;
    const [tool, prompt, resource] = [
      await thrownBy(client.callTool({ name: "get-env" })),
      await thrownBy(client.getPrompt({ name: "args-prompt" })),
      await thrownBy(client.readResource({ uri: text(7) })),
    ];
    expect([tool.code, prompt.code, resource.code]).toEqual([-32602, -32602, raisedForUnknownResource]);
    expect(tool.message).toContain("Unknown tool: get-env");
    expect(prompt.message).toContain("Unknown prompt: args-prompt");
    expect(resource.message).toContain("Resource not found");
    expect((await client.listTools()).tools.map(({ name }) => name)).toEqual(["echo"]);
    expect((await client.getPrompt({ name: "simple-prompt" })).messages).toHaveLength(1);
  });
});

describe("@modelcontextprotocol/client 2.x against a modern server", () => {
  it("sees in lists what it may use, and of the rest that it is denied, or hidden that there is none (A12)", async () => {
    for (const tenant of ["open", "hiding"]) {
      await using connected = await successor(tenant, "modern", { pin: "2026-07-28" });
      const { client } = connected;
      expect((await client.listTools()).tools.map(({ name }) => name)).toEqual(["shout"]);
      expect((await client.listPrompts()).prompts.map(({ name }) => name)).toEqual(["brief"]);
      expect((await client.listResources()).resources.map(({ uri }) => uri)).toEqual(["notes://desk/open"]);
      const refused = [
        await thrownBy(client.callTool({ name: "forbidden", arguments: {} })),
        await thrownBy(client.getPrompt({ name: "secret-plan" })),
        await thrownBy(client.readResource({ uri: "notes://desk/secret" })),
      ];
      if (tenant === "open")
        expect(refused.map((error) => bodyOf(error))).toMatchObject([{ code: 1403 }, { code: 1403 }, { code: 1403 }]);
      else expect(refused.map(({ code }) => code)).toEqual([-32602, -32602, -32602]);
      expect((await client.readResource({ uri: "notes://desk/open" })).contents).toHaveLength(1);
      expect((await client.getPrompt({ name: "brief" })).messages).toHaveLength(1);
    }
  });
});

const lists: Record<string, Record<string, object[]>> = {
  "tools/list": { tools: [{ name: "echo" }, { name: "get-env" }] },
  "prompts/list": { prompts: [{ name: "args-prompt" }, { name: "simple-prompt" }] },
  "resources/list": { resources: [{ uri: features }, { uri: text(7) }, { uri: "file:///etc/passwd" }] },
  "resources/templates/list": { resourceTemplates: [{ uriTemplate: "x:{y}" }, { uriTemplate: text("{resourceId}") }] },
};
const shown: Record<string, object> = {
  "tools/list": { tools: [{ name: "echo" }] },
  "prompts/list": { prompts: [{ name: "simple-prompt" }] },
  "resources/list": { resources: [{ uri: features }] },
  "resources/templates/list": { resourceTemplates: [{ uriTemplate: text("{resourceId}") }] },
};
const listAnswers = () => Object.values(lists).map((result, id) => ({ jsonrpc: "2.0", id, result }));

function answerLists(type: "json" | "sse") {
  return ({ method, message }: ReceivedRequest, response: ServerResponse) => {
    const answers =
      method === "GET" ? listAnswers() : [{ jsonrpc: "2.0", id: message?.id, result: lists[message?.method ?? ""] }];
    if (type === "json") answerJson(response, answers[0]);
    else response.writeHead(200, { "content-type": "text/event-stream" }).end(eventStreamOf(answers));
  };
}

const post = (body: object, { tenant = "open", agent = "guest-1", server = "fake", headers = legacyHeaders } = {}) =>
  send({ url: urlOf(server).href, key: house.key(agent, tenant), headers, body: { jsonrpc: "2.0", id: 1, ...body } });

describe("on the wire", () => {
  it.each(["json", "sse"] as const)("lists as %s hold what may be used and nothing else (A12)", async (type) => {
    fake.handler = answerLists(type);
    for (const method of Object.keys(lists)) {
      const answer = (await post({ method })).body.toString();
      const message = type === "json" ? answer : (/^data: (.+)$/m.exec(answer)?.[1] ?? "");
      expect(JSON.parse(message)).toEqual({ jsonrpc: "2.0", id: 1, result: shown[method] });
      expect(answer).not.toMatch(/get-env|args-prompt|passwd|text\/7|x:\{y\}/);
    }
  });

  it("lists that come by on the stream of the server's own messages hold nothing else either (A12)", async () => {
    fake.handler = answerLists("sse");
    const key = house.key("guest-1", "open");
    const reader = await listen({ url: urlOf("fake").href, key, method: "GET", headers: legacyHeaders });
    await reader.finished();
    expect(reader.messages.map(({ result }) => result)).toEqual(Object.values(shown));
  });

  it("an agent whose rules speak of tools alone sees every prompt and resource, byte for byte (A12)", async () => {
    fake.handler = answerLists("json");
    for (const method of Object.keys(lists)) {
      const answer = await post({ method }, { agent: "free-1" });
      expect(answer.body.toString()).toBe(JSON.stringify({ jsonrpc: "2.0", id: 1, result: lists[method] }));
    }
  });

  const uses: [string, string, (target: string) => object, string, string][] = [
    ["tool", "tools/call", (name) => ({ name }), "get-env", "get-xyz"],
    ["prompt", "prompts/get", (name) => ({ name }), "args-prompt", "args-sesame"],
    ["resource", "resources/read", (uri) => ({ uri }), features, features.replace("features", "foobaring".slice(0, 8))],
    ["resource", "resources/subscribe", (uri) => ({ uri }), text(1), text(9)],
    ["prompt", "completion/complete", (name) => ({ ref: { type: "ref/prompt", name } }), "args-prompt", "args-sesame"],
  ];
  it.each(uses)(
    "a hidden %s of %s can't be told from one that does not exist, in every era that has the method, and nothing is forwarded (A12)",
    async (_kind, method, params, hidden, unknown) => {
      const versions = method === "resources/subscribe" ? ["2025-06-18"] : ["2025-06-18", "2026-07-28"];
      for (const version of versions) {
        const options = { tenant: "hiding", agent: "closed-1", headers: { "mcp-protocol-version": version } };
        const answer = await post({ method, params: params(hidden) }, options);
        const other = await post({ method, params: params(unknown) }, options);
        expect(answer.status).toBe(200);
        expect(answer.headers["content-type"]).toBe("application/json");
        expect(fingerprint(answer).replaceAll(hidden, unknown)).toBe(fingerprint(other));
        const legacyResource = method.startsWith("resources/") && version < "2026";
        const { error } = JSON.parse(answer.body.toString()) as { error: { code: number } };
        expect(error.code).toBe(legacyResource ? -32002 : -32602);
        expect(answer.body.toString()).not.toMatch(/denied|authorized|allowed/);
      }
      const silent = await post(
        { id: undefined, method, params: params(hidden) },
        { tenant: "hiding", agent: "closed-1" },
      );
      expect([silent.status, silent.body.length]).toEqual([202, 0]);
      expect(fake.requests).toEqual([]);
    },
  );

  it("the audit trail names rule and fault of what was hidden, and the status that the agent got (A12)", async () => {
    await post({ method: "prompts/get", params: { name: "secret-audited" } }, { tenant: "hiding" });
    const row = await until("the outcome", async () => {
      const [found] = await house.query(
        `select decision, rule, fault, status, state from audit_calls where tenant = 'hiding' and target = 'secret-audited'`,
      );
      return found?.["state"] === "done" && found;
    });
    expect(row).toEqual({
      decision: "deny",
      rule: "accessRules[0].deniedPrompts[1]",
      fault: "prompt_access_denied",
      status: 200,
      state: "done",
    });
  });

  it("P5: a tenant may have refusals by rules and limits with HTTP 200; the JSON-RPC error is the same", async () => {
    const calls = [
      ["guest-1", { method: "tools/call", params: { name: "get-env" } }, 403],
      ["guest-1", { method: "prompts/get", params: { name: "args-prompt" } }, 403],
      ["free-1", { method: "tools/call", params: { name: "echo" } }, 429],
    ] as const;
    for (const [agent, body, status] of calls) {
      const [usual, mild] = [await post(body, { agent }), await post(body, { agent, tenant: "mild" })];
      expect([usual.status, mild.status]).toEqual([status, 200]);
      const errors = [usual, mild].map((answer) => {
        const { error } = JSON.parse(answer.body.toString()) as { error: { message: string; data: object } };
        return { ...error, message: "", data: Object.keys(error.data) };
      });
      expect(errors[1]).toEqual(errors[0]);
    }
  });

  it("a completion whose reference is of no known kind is refused, not forwarded (A12)", async () => {
    for (const ref of [undefined, {}, { type: "ref/tool", name: "get-env" }, { type: "ref/prompt", uri: "x:y" }])
      expect((await post({ method: "completion/complete", params: { ref } })).status).toBe(400);
    expect(fake.requests).toEqual([]);
  });
});
