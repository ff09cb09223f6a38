import { createAddressGuard } from "@sluice/net";
import { describe, expect, it } from "vitest";
import { ConfProblems } from "./conf-problems.ts";
import { readConf } from "./read-conf.ts";

const source = { file: "t.yaml", guard: createAddressGuard([]) };

function problemsOf(text: string): string[] {
  try {
    readConf(text, source);
  } catch (error) {
    if (error instanceof ConfProblems) return error.message.split("\n");
    throw error;
  }
  return [];
}

/** A tenant with one MCP endpoint, and lines of its own. */
const tenant = (lines: string, endpoint = "") => `tenants:
  acme:
    mcp:
      endpoints:
        - { name: main, url: "https://mcp.example.com/mcp"${endpoint} }
${lines}`;

describe("what was meant is said", () => {
  it.each([
    ["in a tenant", "    acessRules: []\n", "accessRules"],
    ["in settings", "    settings: { hide_denid: true }\n", "hide_denied"],
    [
      "in a list",
      "    limits: [{ path: /mcp/tools/call, maxRequest: 1, windowSeconds: 1, maxRequests: 1 }]\n",
      "maxRequests",
    ],
    ["for the beginning of a key", "    settings: { max_payload: 2048 }\n", "max_payload_bytes"],
    [
      "deep in a list",
      "    a2a: { endpoints: [{ name: a, url: 'https://a.example.com', signing: { keyid: k, keyId: k, secret: '${env:S}' } }] }\n",
      "keyId",
    ],
  ])("for a misspelt key %s", (_where, lines, meant) => {
    expect(problemsOf(tenant(lines))).toEqual([
      expect.stringMatching(new RegExp(`unknown key; did you mean ${meant}\\?$`)),
    ]);
  });

  it("for a key of one kind among several", () => {
    const credentials = ", credentials: { type: header, headrName: X-Token, headerName: X-Token, value: '${env:T}' }";
    expect(problemsOf(tenant("", credentials))).toEqual([expect.stringMatching(/did you mean headerName\?$/)]);
  });

  it("for a key that belongs elsewhere", () => {
    expect(problemsOf(tenant("    mcp_enabled: true\n"))).toEqual([
      "t.yaml:6:5: tenants.acme.mcp_enabled: unknown key; it belongs under settings",
    ]);
  });

  it.each([
    ["era: modrn", "must be one of auto, legacy, modern, sse; did you mean modern?"],
    ["credentials: { type: haeder }", "must be one of header, oauth2ClientCredentials; did you mean header?"],
    ["listCacheSeconds: many", "must be of type number, and is a string"],
  ])("for a value: %s", (text, reason) => {
    expect(problemsOf(tenant("", `, ${text}`))[0]).toMatch(new RegExp(`${reason.replaceAll("?", "\\?")}$`));
  });

  it("for an HTTP method in small letters", () => {
    expect(problemsOf(tenant("    settings: { allowed_methods: [post] }\n"))).toEqual([
      "t.yaml:6:35: tenants.acme.settings.allowed_methods.0: must be one of GET, POST, DELETE; did you mean POST?",
    ]);
  });
});

describe("where it is", () => {
  it("problems are told in the order of the file, with line and column each, and in parts", () => {
    const text = tenant("    limits: 7\n    hopeless: 1\n", ", era: x, nope: 1");
    expect(problemsOf(text).map((line) => /^t\.yaml:\d+:\d+/.exec(line)?.[0])).toEqual([
      ...["t.yaml:5:61", "t.yaml:5:69", "t.yaml:6:5", "t.yaml:7:5"],
    ]);
    try {
      readConf(text, source);
    } catch (error) {
      expect((error as ConfProblems).problems[2]).toEqual({
        file: "t.yaml",
        line: 6,
        column: 5,
        path: "tenants.acme.limits",
        reason: "must be of type array, and is a number",
      });
    }
  });

  it("every key that stands twice is told", () => {
    const twice = problemsOf(tenant("    agents: []\n    agents: []\n    limits: []\n    limits: []\n"));
    expect(twice).toEqual([
      "t.yaml:7:5: this key stands here for the second time: keys must be unique",
      "t.yaml:9:5: this key stands here for the second time: keys must be unique",
    ]);
  });
});

describe("anchors", () => {
  const base = `x-rules: &rules
  - { agentPattern: "*", allowedTools: [echo] }
x-tenant: &tenant
  settings: { hide_denied: true }
  accessRules: *rules
`;

  it("may stand at the top, be used, and be merged into as many tenants as there are", () => {
    const names = Array.from({ length: 300 }, (_, index) => `t${index}`);
    const one = (name: string) =>
      `  ${name}:\n    <<: *tenant\n    mcp: { endpoints: [{ name: main, url: "https://mcp.example.com/" }] }\n`;
    const { tenants } = readConf(`${base}tenants:\n${names.map(one).join("")}`, source);
    expect(Object.keys(tenants)).toEqual(names);
    for (const { settings, accessRules } of Object.values(tenants))
      expect([settings.hide_denied, accessRules[0]?.allowedTools]).toEqual([true, ["echo"]]);
  });

  it("a mistake is told where it is written", () => {
    const text = base.replace("hide_denied", "hide_denid").replace("allowedTools", "allowedTool");
    expect(
      problemsOf(
        `${text}tenants:\n  acme:\n    <<: *tenant\n    a2a: { endpoints: [{ name: a, url: "https://a.example.com" }] }\n`,
      ),
    ).toEqual([
      "t.yaml:2:26: tenants.acme.accessRules.0.allowedTool: unknown key; did you mean allowedTools?",
      "t.yaml:4:15: tenants.acme.settings.hide_denid: unknown key; did you mean hide_denied?",
    ]);
  });
});

describe("A2A endpoints", () => {
  const a2a = (endpoint: string) => `tenants:\n  acme:\n    a2a: { endpoints: [{ ${endpoint} }] }\n`;

  it("need an address or a card, and have the defaults of long tasks", () => {
    const conf = readConf(
      a2a(`name: planner, card: "https://p.example.com/.well-known/agent-card.json", version: "1.0"`),
      source,
    );
    expect(conf.tenants["acme"]?.a2a.endpoints[0]).toMatchObject({
      version: "1.0",
      responseTimeoutMs: 300_000,
      idleTimeoutMs: 3_600_000,
    });
  });

  it.each([
    ["name: planner", /url: is missing: give url or card$/],
    [
      `name: planner, url: "https://p.example.com", card: "https://p.example.com/c"`,
      /card: give url or card, not both$/,
    ],
    [
      `name: planner, url: "https://p.example.com", version: 1.0`,
      /version: must be one of "0\.1", "0\.2", "0\.3" and "1\.0", in quotation marks$/,
    ],
    [`name: planner, card: "http://169.254.169.254/card"`, /card: .*UPSTREAM_NETWORKS/],
    [`name: tasks, url: "https://p.example.com"`, /name: is a path of the gateway's own/],
  ])("A25: { %s } is refused", (endpoint, reason) => {
    expect(problemsOf(a2a(endpoint))).toEqual([expect.stringMatching(reason)]);
  });

  it("a tenant with nothing behind it is refused", () => {
    expect(problemsOf("tenants:\n  acme: {}\n")).toEqual([
      "t.yaml:2:3: tenants.acme: has nothing behind it: give it mcp.endpoints, a2a.endpoints or both",
    ]);
  });
});

describe("routes", () => {
  const route = (path: string, methods: string) => tenant(`    routes: [{ path: ${path}, methods: [${methods}] }]\n`);

  it.each(["/mcp", "/mcp/main", "/mcp/main/sse", "/mcp/tools/list", "/a2a/tasks/get"])("%s is one", (path) => {
    expect(problemsOf(route(path, ""))).toEqual([]);
  });

  it.each([
    ["/mcp/mian", "POST", "there is no such path; did you mean /mcp/main?"],
    ["/mcp/tool/list", "GET", "there is no such path; did you mean /mcp/tools/list?"],
    ["/mcp/tools/call", "GET", "/mcp/tools/call has no GET: it can be left POST"],
  ])("%s with %s is refused", (path, methods, reason) => {
    expect(problemsOf(route(path, methods))[0]).toMatch(new RegExp(`${reason.replaceAll("?", "\\?")}$`));
  });

  it("that stand twice are refused", () => {
    const text = tenant("    routes: [{ path: /mcp, methods: [] }, { path: /mcp, methods: [GET] }]\n");
    expect(problemsOf(text)).toEqual([expect.stringMatching(/routes\.1\.path: another route/)]);
  });
});
