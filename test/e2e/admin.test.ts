import { createHash, randomBytes } from "node:crypto";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { startTestHouse, until, type TestHouse } from "@sluice/testing";
import { stringify } from "yaml";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { adminRoutes } from "../../services/control/dist/admin/index.js";
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

describe("an operator", () => {
  const path = "/v1/tenants/acme/tokens";
  const body = { runtime: "run-1", agent: "a-1", forOperator: true };

  it("who is an auditor reads and changes nothing: 403, which is recorded with the name", async () => {
    expect((await ask(tokens.otto, path)).status).toBe(200);
    const refused = await adminCall(house, { path, body, token: tokens.otto });
    expect(refused).toMatchObject({ status: 403, body: { error: "role_denied" } });
    expect((await ask(tokens.otto, path)).body).toEqual({ credentials: [] });
    const rows = await until("the refusal", async () => {
      const found = await house.query("select * from audit_actions where fault = 'role_denied'");
      return found.length > 0 ? found : undefined;
    });
    expect(rows).toMatchObject([{ operator: "otto", action: "tokens.create", tenant: "acme", result: "refused" }]);
  });

  it("takes the tokens along that act on their behalf, once they are taken out of the file", async () => {
    const made = await adminCall(house, { path, body, token: tokens.alice });
    expect(made).toMatchObject({ status: 201, body: { user: "alice", createdBy: "alice" } });
    const own = { path, body: { ...body, forOperator: false }, token: tokens.alice };
    const { body: stays } = await adminCall(house, own);
    await writeFile(operatorsFile, "operators: []");
    const idsNow = async () =>
      ((await ask(house.house.adminToken, path)).body["credentials"] as { id: string }[]).map(({ id }) => id);
    await until("the token to be gone", async () => !(await idsNow()).includes(String(made.body["id"])));
    expect(await idsNow()).toEqual([stays["id"]]);
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
    });
    const paths = body["paths"] as Record<string, Record<string, { responses: Record<string, unknown> }>>;
    for (const { method, path, status = 200 } of adminRoutes) {
      const operation = paths[path.replaceAll(/:(\w+)/g, "{$1}")]?.[method.toLowerCase()];
      expect(Object.keys(operation?.responses ?? {}).toSorted(), `${method} ${path}`).toEqual([
        String(status),
        "4XX",
        "5XX",
      ]);
    }
  });
});
