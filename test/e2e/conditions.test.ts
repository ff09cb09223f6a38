import { answerJson, FakeUpstream, startTestHouse, until, type ReceivedRequest, type TestHouse } from "@sluice/testing";
import type { ServerResponse } from "node:http";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { adminCall } from "./admin-call.ts";
import { BusSpy } from "./bus-spy.ts";
import { as, refusal, send, toolCall } from "./http.ts";

const stack = new AsyncDisposableStack();
const canary = "canary-in-the-arguments";
let house: TestHouse;
let upstream: FakeUpstream;
let spy: BusSpy;

const accessRules = [
  { agentPattern: "*", allowedTools: ["free", "shadowed", "landmark-*"], allowedPrompts: ["p"] },
  { agentPattern: "*", when: "args.path.startsWith('/tmp/')", allowedTools: ["read"] },
  { agentPattern: "*", when: "has(args.force) && args.force == true", deniedTools: ["fr*"] },
  { agentPattern: "*", when: "agent.owner == 'tests'", allowedTools: ["owned"] },
  { agentPattern: "*", when: "agent.owner == 'others' && args.path == 'x'", allowedTools: ["foreign"] },
  { agentPattern: "*", when: "args.text.startsWith('hello')", allowedPrompts: ["greet"] },
  { agentPattern: "*", mode: "shadow", deniedTools: ["shadowed"] },
  { agentPattern: "*", mode: "shadow", when: "args.text != ''", deniedTools: ["landmark-shadow"] },
  { agentPattern: "*", mode: "shadow", when: "args.text != ''", allowedTools: ["unknown"] },
];
const names = ["free", "read", "owned", "foreign", "unknown", "shadowed"];

/** Answers lists with all names, and calls with their own arguments. */
function serve({ message }: ReceivedRequest, response: ServerResponse): void {
  const { id, method, params } = message ?? {};
  const complete = { resultType: "complete", ttlMs: 0, cacheScope: "private" };
  const tools = names.map((name) => ({ name, inputSchema: { type: "object" } }));
  const text = JSON.stringify(params?.["arguments"] ?? {});
  const result = method === "tools/list" ? { ...complete, tools } : { ...complete, content: [{ type: "text", text }] };
  answerJson(response, { jsonrpc: "2.0", id, result });
}

beforeAll(async () => {
  upstream = stack.use(await FakeUpstream.start(serve));
  const endpoints = ["one", "two"].map((name) => ({ name, url: upstream.url }));
  house = stack.use(
    await startTestHouse({
      replicas: { policy: 2 },
      tenants: {
        acme: { agents: ["a-1"], mcp: { endpoints: endpoints.slice(0, 1) }, accessRules },
        many: { agents: ["a-1"], mcp: { endpoints, toolPrefix: "always" }, accessRules },
        limited: {
          agents: ["a-1"],
          mcp: { endpoints: endpoints.slice(0, 1) },
          accessRules,
          limits: [{ path: "/mcp/tools/call", tool: "read", maxRequests: 1, windowSeconds: 3600 }],
        },
        hiding: {
          agents: ["a-1"],
          mcp: { endpoints: endpoints.slice(0, 1) },
          accessRules,
          settings: { hide_denied: true },
        },
      },
    }),
  );
  spy = stack.use(await BusSpy.open(house));
});
afterAll(() => stack.disposeAsync());
beforeEach(() => {
  upstream.requests.splice(0);
  spy.messages.splice(0);
});

const post = (body: string, { tenant = "acme", path = "/mcp", headers = {} } = {}) =>
  send(`${house.house.url}${path}`, { headers: as(house.key("a-1", tenant), headers), body });
const denial = (tool: string, more: object) =>
  refusal(
    1403,
    {
      error: "tool_access_denied",
      message: `Agent 'a-1' is not authorized to invoke tool '${tool}'`,
      allowedTools: ["free", "shadowed", "landmark-*", "read", "owned"],
      ...more,
    },
    1,
  );
const asked = () => spy.messages.filter(({ subject }) => subject === "gw.ask.v1.policy.arguments");

describe("conditions on arguments (P5)", () => {
  it("P5: decide each call by its own arguments; the refusal is seed 001's, with the rule and no argument", async () => {
    for (let round = 0; round < 3; round++) {
      expect((await post(toolCall("read", { path: `/tmp/${canary}` }))).status).toBe(200);
      const denied = await post(toolCall("read", { path: `/etc/${canary}` }));
      expect(denied.status).toBe(403);
      expect(JSON.parse(denied.text)).toEqual(denial("read", { rule: "accessRules[1].allowedTools[0]" }));
    }
    expect((await post(toolCall("free", { force: true }))).text).toContain('"rule":"accessRules[2].deniedTools[0]"');
    expect((await post(toolCall("free", { force: false }))).status).toBe(200);
    expect(upstream.requests).toHaveLength(4);
  });

  it("P5: fail closed where an argument is missing or of another type", async () => {
    for (const args of [{}, { path: 1 }, { Path: "/tmp/x" }, { path: null }, []]) {
      expect((await post(toolCall("read", args))).status, JSON.stringify(args)).toBe(403);
    }
    const bare = JSON.stringify({ jsonrpc: "2.0", id: 1, method: "tools/call", params: { name: "read" } });
    expect((await post(bare)).status).toBe(403);
    const escaped = (path: string) => toolCall("read", { path }).replace('"arguments"', String.raw`"\u0061rguments"`);
    expect((await post(escaped("/etc/x"))).status).toBe(403);
    expect((await post(toolCall("read", { path: "/tmp/x" }).replace('"arguments"', '"Arguments"'))).status).toBe(400);
    expect(upstream.requests).toEqual([]);
  });

  it("P5: hold on every way in: a method's own path, batches, several servers together, prompts", async () => {
    const call = (path: string) => JSON.stringify({ name: "read", arguments: { path } });
    expect((await post(call("/tmp/x"), { path: "/mcp/tools/call" })).status).toBe(200);
    const plain = await post(call("/etc/x"), { path: "/mcp/tools/call" });
    expect([plain.status, JSON.parse(plain.text)]).toMatchObject([403, { error: "tool_access_denied" }]);

    const batch = [toolCall("read", { path: "/etc/x" }, 1), toolCall("read", { path: "/tmp/x" }, 2)];
    const answers = await post(`[${batch.join()}]`, { headers: { "mcp-protocol-version": "2025-03-26" } });
    expect(JSON.parse(answers.text)).toMatchObject([
      { id: 1, error: { code: 1403 } },
      { id: 2, result: {} },
    ]);

    const many = { tenant: "many" };
    expect((await post(toolCall("two_read", { path: "/tmp/x" }), many)).text).toContain("/tmp/x");
    expect((await post(toolCall("two_read", { path: "/etc/x" }), many)).status).toBe(403);

    const prompt = (text: string) =>
      JSON.stringify({ jsonrpc: "2.0", id: 1, method: "prompts/get", params: { name: "greet", arguments: { text } } });
    expect((await post(prompt("hello you"))).status).toBe(200);
    expect((await post(prompt("bye"))).status).toBe(403);
  });

  it("A12: a list shows what may be used with some arguments, and nothing that the caller may never use", async () => {
    const list = await post(JSON.stringify({ jsonrpc: "2.0", id: 1, method: "tools/list" }));
    const { result } = JSON.parse(list.text) as { result: { tools: { name: string }[] } };
    expect(result.tools.map(({ name }) => name)).toEqual(["free", "read", "owned", "shadowed"]);
    const foreign = await post(toolCall("foreign", { path: "x" }));
    expect(JSON.parse(foreign.text)).toEqual(denial("foreign", {}));
    const hidden = await post(toolCall("read", { path: "/etc/x" }), { tenant: "hiding" });
    expect([hidden.status, hidden.text]).toEqual([
      200,
      JSON.stringify({ jsonrpc: "2.0", id: 1, error: { code: -32602, message: "Unknown tool: read" } }),
    ]);
  });

  it("A31: arguments are in no admission, audit row or log, and travel to policy only where a rule looks at them", async () => {
    await post(toolCall("read", { path: `/etc/${canary}` }));
    await post(toolCall("shadowed", { text: canary }));
    await post(toolCall("owned", { text: canary }));
    await post(toolCall("unknown", { text: canary }));
    const heard = await spy.heard((tool) => post(toolCall(tool)));
    const carriers = heard.filter(({ text }) => text.includes(canary)).map(({ subject }) => subject);
    expect(carriers.filter((subject) => !subject.startsWith("gw.call."))).toEqual(["gw.ask.v1.policy.arguments"]);
    await until("the rows", async () => {
      expect(await house.stored()).not.toContain(canary);
      const [unknown] = await house.query("select 1 from audit_calls where target = 'unknown' and state = 'done'");
      return unknown !== undefined;
    });
    expect(await house.logs()).not.toContain(canary);
  });

  it("are not asked about where nothing that looks at them names the tool, nor twice for a call", async () => {
    await post(toolCall("owned"));
    await post(toolCall("unknown"));
    expect(asked()).toEqual([]);
    await post(toolCall("read", { path: "/tmp/x" }));
    expect(asked()).toHaveLength(1);
  });

  it("that are refused take nothing from a limit", async () => {
    const limited = { tenant: "limited" };
    expect((await post(toolCall("read", { path: "/etc/x" }), limited)).status).toBe(403);
    await until("the call is given back", async () => {
      const { status } = await post(toolCall("read", { path: "/tmp/x" }), limited);
      expect([200, 429]).toContain(status);
      return status === 200;
    });
    expect((await post(toolCall("read", { path: "/tmp/x" }), limited)).status).toBe(429);
  });

  it("are not decided upon above 256 KiB: 413 says so, and nothing is called", async () => {
    const large = await post(toolCall("read", { path: "/tmp/x", text: "x".repeat(256 * 1024) }));
    expect([large.status, large.text]).toEqual([413, expect.stringContaining("may have at most 262144 bytes")]);
    expect(upstream.requests).toEqual([]);
    expect((await post(toolCall("shadowed", { text: "x".repeat(256 * 1024) }))).status).toBe(200);
    expect((await post(toolCall("landmark-shadow", { text: "x".repeat(256 * 1024) }))).status).toBe(200);
  });
});

describe("a rule in shadow mode (P5)", () => {
  it("P5: decides nothing; what it would have decided is in the audit trail, the metrics and the log", async () => {
    const metric =
      'sluice_policy_shadow_decisions_total{tenant="acme",rule="accessRules[6].deniedTools[0]",decision="deny"';
    const counted = async () => {
      const texts = await Promise.all(
        house.house.of("policy").map(async ({ health }) => (await fetch(`${health}/metrics`)).text()),
      );
      const lines = texts.flatMap((text) => text.split("\n")).filter((line) => line.startsWith(metric));
      return lines.reduce((sum, line) => sum + Number(line.split(" ").at(-1)), 0);
    };
    const before = await counted();
    const rows = () => house.query<{ call: string }>("select * from audit_shadow_decisions where target = 'shadowed'");
    const known = (await rows()).length;
    for (let round = 0; round < 5; round++) expect((await post(toolCall("shadowed"))).status).toBe(200);
    expect((await counted()) - before).toBe(5);
    await until("the rows", async () => (await rows()).length >= known + 5);
    expect((await rows()).at(-1)).toMatchObject({
      tenant: "acme",
      decision: "allow",
      rule: "accessRules[0].allowedTools[1]",
      shadow_decision: "deny",
      shadow_rule: "accessRules[6].deniedTools[0]",
    });
    const summary = await house.query(
      "select shadow_rule, shadow_decision, agent_id, target, count(*) from audit_shadow_decisions group by 1, 2, 3, 4 order by 5 desc",
    );
    expect(summary).toMatchObject([{ shadow_rule: "accessRules[6].deniedTools[0]", agent_id: "a-1" }]);
    expect(await house.logs()).toContain("a rule in shadow mode would decide otherwise");
  });
});

describe("explain", () => {
  it("P5: the admin API says which rule in force decides, where it is written", async () => {
    const question = { tenant: "acme", agent: "a-1", tool: "read", args: { path: "/etc/x" } };
    const explained = await adminCall(house, { method: "POST", path: "/v1/policy/explain", body: question });
    expect(explained).toMatchObject({
      status: 200,
      body: {
        decision: "deny",
        rule: "default-deny",
        argumentRule: "accessRules[1].allowedTools[0]",
        statements: [{ rule: "accessRules[1].allowedTools[0]", condition: "unmet", at: { line: expect.any(Number) } }],
      },
    });
    const wrong = await adminCall(house, {
      method: "POST",
      path: "/v1/policy/explain",
      body: { tenant: "acme" },
    });
    expect(wrong.status).toBe(400);
  });
});
