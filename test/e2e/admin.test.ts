import { createHash, randomBytes } from "node:crypto";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { startTestHouse, until, type TestHouse } from "@sluice/testing";
import { stringify } from "yaml";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { adminCall } from "./admin-call.ts";

const tokens = { alice: newToken(), otto: newToken(), gone: newToken(), short: "only-31-characters-long-1234567" };

let dir: string;
let operatorsFile: string;
let house: TestHouse;

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), "sluice-operators-"));
  operatorsFile = join(dir, "operators.yaml");
  await saveOperators();
  house = await startTestHouse({
    envOf: { control: { OPERATORS_FILE: operatorsFile } },
    tenants: {
      acme: { agents: ["a-1"], mcp: { endpoints: [{ name: "main", url: "http://127.0.0.1:9/mcp" }] } },
    },
  });
});
afterAll(async () => {
  await house?.[Symbol.asyncDispose]();
  await rm(dir, { recursive: true, force: true });
});

function newToken(): string {
  return randomBytes(32).toString("hex");
}

function saveOperators(): Promise<void> {
  const entry = (name: keyof typeof tokens, rest: object) => ({
    name,
    tokens: [`sha256:${createHash("sha256").update(tokens[name]).digest("hex")}`],
    ...rest,
  });
  const operators = [
    entry("alice", { role: "admin" }),
    entry("otto", { role: "auditor" }),
    entry("gone", { role: "admin", expires: "2026-01-01T00:00:00Z" }),
    entry("short", { role: "admin" }),
  ];
  return writeFile(operatorsFile, stringify({ operators }));
}

const ask = (token: string | undefined, path = "/v1/status") => adminCall(house, { path, token });

describe("who may use the admin API", () => {
  it("is ADMIN_TOKEN and the operators of the file; a token that is expired, short, unknown or an agent's gets 401", async () => {
    for (const token of [house.house.adminToken, tokens.alice, tokens.otto])
      expect((await ask(token)).status).toBe(200);
    for (const token of [undefined, "", tokens.gone, tokens.short, newToken(), house.key("a-1")]) {
      const refused = await ask(token);
      expect(refused.status).toBe(401);
      expect(refused.body).toMatchObject({ error: "unauthorized" });
    }
  });

  it("leaves refused calls in the audit trail, many alike as one event", async () => {
    for (let index = 0; index < 50; index++) await ask(newToken());
    const rows = await until("the refusals are stored", async () => {
      const found = await house.query("select * from audit_actions where action = 'authenticate'");
      return found.length > 0 ? found : undefined;
    });
    expect(rows).toMatchObject([{ operator: null, result: "refused", fault: "unauthorized" }]);
  });

  it("changes with the file, and a broken edit changes nothing and is logged", async () => {
    await writeFile(operatorsFile, "operators: [{ name: eve, role: admin, tokens: [hunter2] }]");
    await until("the edit is refused", async () => (await house.logs()).includes("the operators file is refused"));
    expect(await house.logs()).not.toContain("hunter2");
    expect((await ask(tokens.alice)).status).toBe(200);
    await writeFile(operatorsFile, "operators: []");
    await until("the operators are gone", async () => (await ask(tokens.alice)).status === 401);
    await saveOperators();
    await until("they are back", async () => (await ask(tokens.alice)).status === 200);
  });
});

describe("the OpenAPI document", () => {
  it("names every route with its answer, and the token that all of them take", async () => {
    const { body } = await ask(tokens.otto, "/v1/openapi.json");
    expect(body).toMatchObject({
      openapi: "3.1.0",
      security: [{ token: [] }],
      paths: { "/v1/status": { get: { responses: { 200: {}, "4XX": {} } } }, "/v1/openapi.json": {} },
    });
  });
});
