import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { createAddressGuard } from "@sluice/net";
import { describe, expect, test } from "vitest";
import { confJsonSchema } from "./conf-json-schema.ts";
import { lineOf } from "./conf-problems.ts";
import { configSchema } from "./config.ts";
import { readConf } from "./read-conf.ts";

const confDir = join(import.meta.dirname, "../../../conf");
const hash = (key: string) => `sha256:${createHash("sha256").update(key).digest("hex")}`;

const source = { file: "tenants.yaml", guard: createAddressGuard([]) };

const good = `tenants:
  acme:
    agents:
      - id: sentinel-1
        apiKeys: [${hash("k1-random")}]
    mcp:
      endpoints:
        - name: main
          url: https://mcp.example.com/mcp
`;

function refusalOf(text: string): string {
  try {
    readConf(text, source);
  } catch (error) {
    return (error as Error).message;
  }
  throw new Error("it was accepted");
}

describe("what is published for editors", () => {
  test("the committed JSON Schema is the one the validator uses", async () => {
    expect(JSON.parse(await readFile(join(confDir, "tenants.schema.json"), "utf8"))).toEqual(confJsonSchema());
  });

  test("the example configuration is good", async () => {
    const conf = readConf(await readFile(join(confDir, "tenants.yaml"), "utf8"), source);
    expect(conf.tenants["acme"]?.agents.map((agent) => agent.id)).toEqual(["sentinel-1", "alchemy-1"]);
  });
});

describe("a mistake is named with file, line, column and reason", () => {
  test.each([
    ["YAML that does not parse", good.replace("acme:", "acme: ["), /^tenants\.yaml:\d+:\d+: /],
    ["a key written twice", `${good}    agents: []\n`, /^tenants\.yaml:10:5: .*unique/],
    [
      "a misspelt key",
      good.replace("agents:", "agnets:"),
      /^tenants\.yaml:3:5: tenants\.acme\.agnets: unknown key; did you mean agents\?$/m,
    ],
    [
      "a wrong value",
      good.replace("sentinel-1", "sentinel 1"),
      /^tenants\.yaml:4:9: tenants\.acme\.agents\.0\.id: must be/,
    ],
    [
      "a missing key",
      good.replace("          url: https://mcp.example.com/mcp\n", ""),
      /^tenants\.yaml:8:11: tenants\.acme\.mcp\.endpoints\.0\.url: /,
    ],
    ["a tenant's bad name", good.replace("acme", "Acme_"), /^tenants\.yaml:2:3: tenants\.Acme_: must be lower-case/],
    ["a prototype's name", good.replace("acme", "__proto__"), /^tenants\.yaml:2:3: __proto__ is no name/],
    ["an empty file", "", /^tenants\.yaml:1:1: the file: /],
    [
      "an endpoint named twice",
      `${good}        - name: main\n          url: https://mcp.example.com/other\n`,
      /^tenants\.yaml:10:11: .*another endpoint/,
    ],
  ])("%s", (_what, text, expected) => {
    expect(refusalOf(text)).toMatch(expected);
  });

  test("YAML that does not parse is told without what only follows from it", () => {
    expect(refusalOf(`${good}${"  [\n".repeat(9)}`).split("\n").length).toBeLessThanOrEqual(2);
  });

  test.each(["Authorization", "host", "Accept-Language", "content-type", "Mcp-Name", "cookie", "x y", ""])(
    "%j is no header for keys",
    (name) => {
      const text = `${good}    authentication: [{ type: apiKey, headerName: ${JSON.stringify(name)} }]\n`;
      expect(refusalOf(text)).toMatch(/^tenants\.yaml:10:\d+: tenants\.acme\.authentication\.0\.headerName: /);
    },
  );

  test("every problem is told at once", () => {
    expect(refusalOf(good.replace("sentinel-1", "sentinel 1").replace("https:", "ftp:")).split("\n")).toHaveLength(2);
  });

  test("an alias bomb is refused", () => {
    const levels = Array.from(
      { length: 9 },
      (_, index) => `a${index + 1}: &a${index + 1} [${`*a${index},`.repeat(9)}]`,
    );
    expect(refusalOf(`a0: &a0 [x]\n${levels.join("\n")}\n`)).toMatch(/^tenants\.yaml:1:1: .*alias/i);
  });
});

describe("a limit's path", () => {
  const withPath = (path: string) =>
    `${good}    limits:\n      - { path: ${path}, maxRequests: 1, windowSeconds: 60 }\n`;

  test.each([
    ["/mcp/tool/call", "did you mean /mcp/tools/call?"],
    ["/mcp/resource/templates/list", "did you mean /mcp/resources/templates/list?"],
    ["/a2a/task/send", "did you mean /a2a/tasks/send?"],
    ["/mcp/x", "write it like /mcp/tools/call"],
  ])("%s is refused, because it would count nothing", (path, hint) => {
    expect(refusalOf(withPath(path))).toMatch(/^tenants\.yaml:11:11: tenants\.acme\.limits\.0\.path: /);
    expect(refusalOf(withPath(path))).toContain(hint);
  });

  test.each(["/mcp/tools/call", "/mcp/tasks/update", "/mcp/notifications/roots/list_changed", "/a2a/agent-card"])(
    "%s is good",
    (path) => expect(readConf(withPath(path), source).tenants["acme"]?.limits[0]?.path).toBe(path),
  );
});

test("an agentPattern that fits no agent is good and warned of", () => {
  const warnings: string[] = [];
  const rules = `    accessRules:
      - { agentPattern: "sentinel-*", allowedTools: ["*"] }
      - { agentPattern: "sentinal-*", allowedTools: ["*"] }
    limits:
      - { path: /mcp/tools/call, agentPattern: nobody, maxRequests: 1, windowSeconds: 60 }
      - { path: /mcp/tools/call, maxRequests: 1, windowSeconds: 60 }
`;
  readConf(`${good}${rules}`, { ...source, warn: (warning) => void warnings.push(lineOf(warning)) });
  expect(warnings).toEqual([
    "tenants.yaml:12:11: tenants.acme.accessRules.1.agentPattern: sentinal-* fits no agent of this tenant",
    "tenants.yaml:14:34: tenants.acme.limits.0.agentPattern: nobody fits no agent of this tenant",
  ]);
});

describe("an upstream's URL", () => {
  const withUrl = (url: string) => good.replace("https://mcp.example.com/mcp", JSON.stringify(url));

  test.each([
    ...["http://127.0.0.1:3001/mcp", "http://127.1/", "http://0x7f.1/", "http://2130706433/", "http://0177.0.0.1/"],
    ...["http://[::ffff:127.0.0.1]/", "http://169.254.169.254/latest/", "http://[fd00::]/", "http://0.0.0.0/"],
    ...[
      "http://[::]/",
      "http://[64:ff9b::a00:1]/",
      "http://[2002:a00:1::]/",
      "https://localhost/",
      "http://x.localhost",
    ],
  ])("%s is refused unless the operator allowed its network (A25)", (url) => {
    expect(refusalOf(withUrl(url))).toMatch(
      /^tenants\.yaml:9:11: tenants\.acme\.mcp\.endpoints\.0\.url: .*set UPSTREAM_NETWORKS of control, egress and ingress/,
    );
  });

  test.each([
    ...["file:///etc/passwd", "ftp://mcp.example.com/", "gopher://mcp.example.com/", "data:application/json,{}"],
    ...["javascript:alert(1)", "unix:/run/mcp.sock", "//mcp.example.com/mcp", "mcp.example.com", ""],
  ])("%j is refused, as it is neither http nor https (A25)", (url) => {
    expect(refusalOf(withUrl(url))).toMatch(/^tenants\.yaml:9:11: .*must be an http:\/\/ or https:\/\/ URL/);
  });

  test("holds no user and no password, and the refusal does not repeat them", () => {
    const refusal = refusalOf(withUrl("https://someone:hidden-word@mcp.example.com/mcp"));
    expect(refusal).toMatch(/^tenants\.yaml:9:11: .*must not hold a user or password/);
    expect(refusal).not.toContain("hidden-word");
  });

  test.each(["tokenUrl", "issuer"])("A25: the %s of its credentials is judged like it", (key) => {
    const credentials = `{ type: oauth2ClientCredentials, ${key}: "https://169.254.169.254/", clientId: c, clientSecret: "\${env:S}" }`;
    expect(refusalOf(`${good}          credentials: ${credentials}\n`)).toMatch(
      new RegExp(
        `^tenants\\.yaml:10:\\d+: tenants\\.acme\\.mcp\\.endpoints\\.0\\.credentials\\.${key}: .*UPSTREAM_NETWORKS`,
      ),
    );
  });

  test("may name an address of an allowed network", () => {
    const guard = createAddressGuard(configSchema.shape.UPSTREAM_NETWORKS.parse("127.0.0.0/8"));
    const conf = readConf(withUrl("http://127.1:3001/mcp"), { ...source, guard });
    expect(conf.tenants["acme"]?.mcp.endpoints[0]?.url).toBe("http://127.1:3001/mcp");
  });
});

describe("keys", () => {
  const twoAgents = (first: string, second: string) =>
    good
      .replace(hash("k1-random"), first)
      .replace("    mcp:", `      - id: sentinel-2\n        apiKeys: [${second}]\n    mcp:`);

  test("two agents can't hold the same key", () => {
    expect(refusalOf(twoAgents(hash("same"), hash("same")))).toMatch(
      /^tenants\.yaml:7:19: .*belongs to agent sentinel-1/,
    );
  });

  test("two agents of one tenant can't have the same id", () => {
    expect(refusalOf(twoAgents(hash("a"), hash("b")).replace("sentinel-2", "sentinel-1"))).toContain("another agent");
  });

  test.each(["", "changeme", "password", "secret\n"])("A4: the hash of the default key %j is refused", (key) => {
    expect(refusalOf(good.replace(hash("k1-random"), hash(key)))).toContain("empty or default key");
  });

  test.each([undefined, "", "tiny-one", "changeme".repeat(8), "a".repeat(64)])(
    "A4: ADMIN_TOKEN %j is refused by its name alone",
    (token) => {
      const parsed = configSchema.safeParse({ ADMIN_TOKEN: token });
      expect(parsed.error?.issues.map((issue) => issue.path.join("."))).toContain("ADMIN_TOKEN");
      if (token) expect(JSON.stringify(parsed.error?.issues)).not.toContain(token);
    },
  );
});
