import { FakeUpstream, answerEcho, startTestHouse, until, type TestHouse, type UpstreamHandler } from "@sluice/testing";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { as, refusal, send, toolCall } from "./http.ts";

let house: TestHouse;
let upstream: FakeUpstream;
const rules = {
  accessRules: [
    {
      agentPattern: "sentinel-*",
      allowedTools: ["search_patterns", "read_*"],
      deniedTools: ["read_secret", "execute_code"],
    },
    { agentPattern: "*-1", allowedTools: ["echo"] },
    { agentPattern: "admin-*", allowedTools: ["*"] },
  ],
  limits: [
    { path: "/mcp/tools/call", tool: "search_patterns", maxRequests: 2, windowSeconds: 600, burstAllowance: 1 },
    { path: "/mcp/tools/call", tool: "read_never", maxRequests: 0, windowSeconds: 30 },
  ],
};
const agents = ["sentinel-1", "sentinel-2", "admin-1", "nobody-9"];
const tenant = (more: object) => ({
  agents,
  mcp: { endpoints: [{ name: "main", url: upstream.url, listCacheSeconds: 0 }] },
  ...more,
});
const tenants = (acme: object) => ({
  acme: tenant(acme),
  bare: tenant({ accessRules: [] }),
  empty: tenant({ accessRules: [{ agentPattern: "*", allowedTools: [] }] }),
  shut: tenant({ ...rules, authentication: [] }),
  off: tenant({ ...rules, settings: { mcp_enabled: false } }),
});

beforeAll(async () => {
  upstream = await FakeUpstream.start();
  house = await startTestHouse({ tenants: tenants(rules), replicas: { ingress: 2, "rate-limit": 2, policy: 2 } });
});
afterAll(async () => {
  await house?.[Symbol.asyncDispose]();
  await upstream?.[Symbol.asyncDispose]();
});
beforeEach(() => {
  upstream.requests.splice(0);
  upstream.handler = answerEcho;
});

const post = (agent: string, body: string, tenantName = "acme", replica = 0) =>
  send(`${house.house.of("ingress")[replica]?.url}/mcp`, { headers: as(house.key(agent, tenantName)), body });

describe("who may call what", () => {
  const denied = (agent: string, tool: string, allowedTools: string[]) =>
    refusal(
      1403,
      {
        error: "tool_access_denied",
        message: `Agent '${agent}' is not authorized to invoke tool '${tool}'`,
        allowedTools,
      },
      7,
    );
  const sentinel = ["search_patterns", "read_*", "echo"];
  const cases: [string, string, string, string[]][] = [
    ["sentinel-1", "execute_code", "acme", sentinel],
    ["sentinel-1", "read_secret", "acme", sentinel],
    ["sentinel-1", "write_file", "acme", sentinel],
    ["sentinel-2", "echo", "acme", ["search_patterns", "read_*"]],
    ["nobody-9", "echo", "acme", []],
    ["admin-1", "echo", "bare", []],
    ["admin-1", "echo", "empty", []],
  ];
  it.each(cases)(
    "P5 A4: %s calling %s in tenant %s gets 403 with the body of seed 001, allowed tools included; nothing is forwarded",
    async (agent, tool, name, allowed) => {
      const answer = await post(agent, toolCall(tool, {}, 7), name);
      expect(answer.status).toBe(403);
      expect(answer.headers["content-type"]).toBe("application/json");
      expect(JSON.parse(answer.text)).toEqual(denied(agent, tool, allowed));
      expect(upstream.requests).toEqual([]);
    },
  );

  it("P5: what a rule allows passes, byte for byte", async () => {
    const passing = [
      ["sentinel-1", "read_config"],
      ["sentinel-1", "read_"],
      ["sentinel-1", "echo"],
      ["admin-1", "execute_code"],
    ] as const;
    for (const [agent, tool] of passing) {
      const body = toolCall(tool, { agent });
      expect((await post(agent, body)).status, `${agent} ${tool}`).toBe(200);
      expect(upstream.requests.splice(0).map((request) => request.body.toString())).toEqual([body]);
    }
  });

  it("A4: an empty list of authentication methods lets nobody in", async () => {
    expect((await post("admin-1", toolCall("echo"), "shut")).status).toBe(401);
    expect(
      (
        await send(`${house.house.url}/mcp`, {
          headers: { "content-type": "application/json", authorization: `Bearer ${house.key("admin-1", "shut")}` },
          body: toolCall("echo"),
        })
      ).status,
    ).toBe(401);
    expect(upstream.requests).toEqual([]);
  });

  it("P4 P5: a tenant that switched MCP off answers 403 to every method", async () => {
    for (const body of [
      toolCall("echo"),
      '{"jsonrpc":"2.0","id":7,"method":"initialize"}',
      '{"jsonrpc":"2.0","id":7,"method":"tools/list"}',
    ]) {
      const answer = await post("admin-1", body, "off");
      expect([answer.status, JSON.parse(answer.text).error.data.error]).toEqual([403, "protocol_disabled"]);
    }
    expect(upstream.requests).toEqual([]);
  });
});

describe("lists", () => {
  const kept = [
    '{ "name":"read_config", "description":"caf\\u00e9 \u{1f600}", "inputSchema":{"type":"object","n":1.0e2,"a":[ ]} }',
    '{"x":{"name":"write_file"},"name":"ech\\u006f"}',
  ];
  const hidden = [
    '{"name":"execute_code"}',
    '{"name":"read_secret","title":"read_config"}',
    '{"title":"nameless"}',
    '{"name":"Echo"}',
    "17",
  ];
  const listOf = (tools: string[]) =>
    `{"jsonrpc":"2.0", "id":1,"result":{"tools": [${tools.join(" , ")}],"nextCursor":"c","n":1e3}}`;
  const answerWith =
    (text: string, type: string): UpstreamHandler =>
    (_request, response) => {
      response
        .writeHead(200, { "content-type": type })
        .end(type === "application/json" ? text : `event: message\ndata: ${text}\n\n`);
    };
  const listFor = async (agent: string) => post(agent, '{"jsonrpc":"2.0","id":1,"method":"tools/list"}');
  const all = [hidden[0], kept[0], hidden[1], hidden[2], kept[1], hidden[3], hidden[4]] as string[];

  it.each(["application/json", "text/event-stream"])(
    "P5: tools/list as %s holds the tools that may be called and no other; their bytes and all around them are unchanged",
    async (type) => {
      upstream.handler = answerWith(listOf(all), type);
      const answer = await listFor("sentinel-1");
      expect(answer.status).toBe(200);
      for (const tool of kept) expect(answer.text).toContain(tool);
      for (const tool of hidden.slice(0, 4)) expect(answer.text).not.toContain(tool);
      const text = type === "application/json" ? answer.text : (/^data: (.*)$/m.exec(answer.text)?.[1] ?? "");
      const list = JSON.parse(text);
      expect(list.result.tools.map(({ name }: { name: string }) => name)).toEqual(["read_config", "echo"]);
      expect(text.startsWith('{"jsonrpc":"2.0", "id":1,"result":{"tools": [')).toBe(true);
      expect(text.endsWith('],"nextCursor":"c","n":1e3}}')).toBe(true);
    },
  );

  it("P5: who may call nothing sees an empty list; who may call all sees the upstream's bytes", async () => {
    const named = listOf(all.filter((tool) => !tool.includes("nameless") && tool !== "17"));
    upstream.handler = answerWith(named, "application/json");
    expect(JSON.parse((await listFor("nobody-9")).text).result.tools).toEqual([]);
    expect((await listFor("admin-1")).text).toBe(named);
  });

  it("P5: a list that two readers may take differently is not shown at all", async () => {
    for (const list of [
      listOf(['{"name":"echo","name":"execute_code"}']),
      '{"jsonrpc":"2.0","id":1,"result":{"tools":[],"tools":[{"name":"execute_code"}]}}',
      '{"jsonrpc":"2.0","id":1,"result":{"Tools":[{"name":"execute_code"}],"tools":[]}}',
      "[broken",
    ]) {
      upstream.handler = answerWith(list, "application/json");
      const answer = await listFor("sentinel-1");
      expect(answer.status, list).toBe(502);
      expect(answer.text).not.toContain("execute_code");
    }
  });
});

describe("how often", () => {
  it("P6: beyond maxRequests and burst a call gets 429 with the body of seed 001 and Retry-After, whatever replica is asked; another agent is not touched", async () => {
    const statuses: number[] = [];
    for (const replica of [0, 1, 0, 1, 0]) {
      const answer = await post("sentinel-1", toolCall("search_patterns", {}, "r"), "acme", replica);
      statuses.push(answer.status);
      if (answer.status !== 429) continue;
      const { data } = JSON.parse(answer.text).error;
      const { retryAfterSeconds } = data;
      expect(retryAfterSeconds).toBeGreaterThan(0);
      expect(retryAfterSeconds, "a window and one of its 50 parts").toBeLessThanOrEqual(612);
      expect(Number.isInteger(retryAfterSeconds)).toBe(true);
      expect(answer.headers["retry-after"]).toBe(String(retryAfterSeconds));
      expect(JSON.parse(answer.text)).toEqual(
        refusal(
          1429,
          { error: "agent_rate_limited", message: data.message, agentId: "sentinel-1", retryAfterSeconds },
          "r",
        ),
      );
    }
    expect(statuses).toEqual([200, 200, 200, 429, 429]);
    expect(upstream.requests).toHaveLength(3);
    expect((await post("sentinel-2", toolCall("search_patterns"))).status).toBe(200);
    expect((await post("sentinel-1", toolCall("echo"))).status).toBe(200);
  });

  it("P6: a limit of 0 lets nothing pass", async () => {
    expect((await post("sentinel-1", toolCall("read_never"))).status).toBe(429);
    expect(upstream.requests).toEqual([]);
  });
});

describe("many at once", () => {
  it("A20: 200 clients in parallel, every request id 0, each get their own answer, as JSON and as a stream, over two replicas", async () => {
    const waiting: (() => void)[] = [];
    upstream.handler = ({ message }, response) => {
      const own = message?.params?.["arguments"] as { client: number };
      const text = JSON.stringify({
        jsonrpc: "2.0",
        id: message?.id,
        result: { content: [{ type: "text", text: `for ${own.client}` }] },
      });
      const answer = () => {
        if (own.client % 2 === 0) response.writeHead(200, { "content-type": "application/json" }).end(text);
        else response.writeHead(200, { "content-type": "text/event-stream" }).end(`data: ${text}\n\n`);
      };
      waiting.push(answer);
      if (waiting.length === 200) for (const held of waiting.reverse()) held();
    };
    const clients = Array.from({ length: 200 }, (_, client) => client);
    const answers = await Promise.all(
      clients.map((client) =>
        post(client % 3 === 0 ? "sentinel-1" : "admin-1", toolCall("echo", { client }, 0), "acme", client % 2),
      ),
    );
    for (const client of clients) {
      const text = answers[client]?.text ?? "";
      const message = client % 2 === 0 ? text : (/^data: (.*)$/m.exec(text)?.[1] ?? "");
      expect(JSON.parse(message)).toEqual({
        jsonrpc: "2.0",
        id: 0,
        result: { content: [{ type: "text", text: `for ${client}` }] },
      });
      expect(text.match(/for \d+/g)).toEqual([`for ${client}`]);
    }
    expect(upstream.requests).toHaveLength(200);
  });
});

describe("edits", () => {
  it("P4 P5: an edited rule counts in every replica without a restart; a broken edit is refused whole and the last good one stays", async () => {
    const statusOf = async (replica: number) => (await post("sentinel-1", toolCall("deploy"), "acme", replica)).status;
    const before = house.house.replicas.map(({ process }) => process.pid);
    expect(await statusOf(0)).toBe(403);
    await house.configure(tenants({ accessRules: [{ agentPattern: "sentinel-*", allowedTools: ["deploy"] }] }));
    for (const replica of [0, 1]) await until("the edit to count", async () => (await statusOf(replica)) === 200);
    await house.configure(
      tenants({ accessRules: [{ agentPattern: "sentinel-*", allowedTool: ["deploy", "execute_code"] }] }),
    );
    const admin = { method: "GET", headers: { authorization: `Bearer ${house.house.adminToken}` } };
    const error = await until(
      "the refusal",
      async () =>
        JSON.parse((await send(`${house.house.adminUrl}/v1/status`, admin)).text).configuration.error as
          string | undefined,
    );
    expect(error).toMatch(/tenants\.yaml:\d+:\d+: .*allowedTool.*did you mean allowedTools/);
    expect(await statusOf(0)).toBe(200);
    await house.configure(tenants({ accessRules: [] }));
    for (const replica of [0, 1]) await until("the permission to end", async () => (await statusOf(replica)) === 403);
    expect(house.house.replicas.map(({ process }) => process.pid)).toEqual(before);
  });
});
