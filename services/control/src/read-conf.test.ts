import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { confJsonSchema } from "./conf-json-schema.ts";
import { configSchema } from "./config.ts";
import { readConf } from "./read-conf.ts";

const confDir = join(import.meta.dirname, "../../../conf");
const hash = (key: string) => `sha256:${createHash("sha256").update(key).digest("hex")}`;

const good = `tenants:
  acme:
    agents:
      - id: sentinel-1
        apiKeys: [${hash("k1-random")}]
    mcp:
      endpoints:
        - name: main
          url: http://127.0.0.1:3001/mcp
`;

function refusalOf(text: string): string {
  try {
    readConf(text, "tenants.yaml");
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
    const conf = readConf(await readFile(join(confDir, "tenants.yaml"), "utf8"), "tenants.yaml");
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
      good.replace("          url: http://127.0.0.1:3001/mcp\n", ""),
      /^tenants\.yaml:8:11: tenants\.acme\.mcp\.endpoints\.0\.url: /,
    ],
    ["a tenant's bad name", good.replace("acme", "Acme_"), /^tenants\.yaml:2:3: tenants\.Acme_: must be lower-case/],
    ["a prototype's name", good.replace("acme", "__proto__"), /^tenants\.yaml:2:3: __proto__ is no name/],
    ["an empty file", "", /^tenants\.yaml:1:1: the file: /],
    [
      "an endpoint named twice",
      `${good}        - name: main\n          url: http://127.0.0.1:3002/mcp\n`,
      /^tenants\.yaml:10:11: .*another endpoint/,
    ],
  ])("%s", (_what, text, expected) => {
    expect(refusalOf(text)).toMatch(expected);
  });

  test("every problem is told at once", () => {
    expect(refusalOf(good.replace("sentinel-1", "sentinel 1").replace("http:", "ftp:")).split("\n")).toHaveLength(2);
  });

  test("an alias bomb is refused", () => {
    const levels = Array.from(
      { length: 9 },
      (_, index) => `a${index + 1}: &a${index + 1} [${`*a${index},`.repeat(9)}]`,
    );
    expect(refusalOf(`a0: &a0 [x]\n${levels.join("\n")}\n`)).toMatch(/^tenants\.yaml:1:1: .*alias/i);
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
