import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import type { OutgoingHttpHeaders } from "node:http";
import { join } from "node:path";
import { promisify } from "node:util";
import { jetstreamManager } from "@nats-io/jetstream";
import { FakeUpstream, startTestHouse, until, type TestHouse } from "@sluice/testing";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { adminCall, type AdminAnswer } from "./admin-call.ts";
import { connectAs } from "./bus-spy.ts";
import { as, json, send, toolCall } from "./http.ts";

let house: TestHouse;
let upstream: FakeUpstream;
const stack = new AsyncDisposableStack();

beforeAll(async () => {
  upstream = stack.use(await FakeUpstream.start());
  const mcp = { endpoints: [{ name: "main", url: upstream.url }] };
  const accessRules = [{ agentPattern: "*", allowedTools: ["*"] }];
  house = stack.use(
    await startTestHouse({
      tenants: {
        acme: { agents: ["a-1"], mcp, accessRules },
        beta: { agents: ["b-1"], mcp, accessRules, settings: { mcp_token_ttl_seconds: 60 } },
        keyless: { agents: [], authentication: [], mcp, accessRules },
        scoped: {
          agents: ["c-1"],
          authentication: [
            { type: "apiKey", headerName: "x-agent-api-key" },
            {
              type: "oauth2ClientCredentials",
              issuer: "http://127.0.0.1:9",
              audience: "sluice",
              requiredScopes: ["mcp:tools:invoke"],
            },
          ],
          mcp,
          accessRules,
        },
      },
      replicas: { ingress: 2 },
    }),
  );
});
afterAll(() => stack.disposeAsync());

const post = (path: string, body: unknown) => adminCall(house, { path: `/v1/tenants/${path}`, body });
const list = (path: string) => adminCall(house, { path: `/v1/tenants/${path}` });
const revoke = (path: string) => adminCall(house, { path: `/v1/tenants/${path}/revoke`, method: "POST" });
const textOf = ({ body }: AdminAnswer, field: "key" | "token") => String(body[field]);
const urls = () => house.house.of("ingress").map(({ url }) => `${url}/mcp`);
const statusOf = async (url: string, headers: OutgoingHttpHeaders) =>
  (await send(url, { headers, body: toolCall("echo") })).status;
const bearer = (text: string) => ({ ...json, authorization: `Bearer ${text}` });
/** Once every replica answers so. */
const everywhere = (headers: OutgoingHttpHeaders, status: number) =>
  until(`${status} everywhere`, async () => {
    const statuses = await Promise.all(urls().map((url) => statusOf(url, headers)));
    return statuses.every((one) => one === status);
  });

describe("an API key of the key store", () => {
  it("is shown once, is good everywhere in its tenant's header and as a bearer token, and stands for the agent of the file", async () => {
    const made = await post("acme/keys", { agent: "a-1" });
    expect(made.status).toBe(201);
    const key = textOf(made, "key");
    expect(key).toMatch(/^slk_[0-9a-f]{16}_[A-Za-z0-9_-]{49}$/);
    await everywhere(as(key), 200);
    await everywhere(bearer(key), 200);
    expect(upstream.requests.at(-1)?.headers).toMatchObject({
      "x-verified-agent-id": "a-1",
      "x-verified-agent-name": "Agent a-1",
      "x-verified-agent-owner": "tests",
    });
    const listed = await list("acme/keys");
    expect(listed.body["credentials"]).toContainEqual(
      expect.objectContaining({ id: made.body["id"], prefix: key.slice(0, 20), agent: "a-1", createdBy: "admin" }),
    );
    const hash = createHash("sha256").update(key).digest("hex");
    for (const text of [JSON.stringify(listed), await house.logs()]) {
      expect(text).not.toContain(key.slice(21));
      expect(text).not.toContain(hash);
    }
  });

  it("can be made for an agent that is not in the file, with its name and owner; else 404", async () => {
    const made = await post("acme/keys", { agent: "guest-1", name: "Guest", owner: "visitors" });
    await everywhere(as(textOf(made, "key")), 200);
    expect(upstream.requests.at(-1)?.headers).toMatchObject({
      "x-verified-agent-id": "guest-1",
      "x-verified-agent-name": "Guest",
      "x-verified-agent-owner": "visitors",
    });
    expect((await post("acme/keys", { agent: "misspelt-1" })).status).toBe(404);
    expect((await post("nobody/keys", { agent: "a-1" })).status).toBe(404);
    expect((await post("acme/keys", { agent: "a-1", name: "Impostor" })).status).toBe(409);
  });

  it("is not made for a tenant that takes none: 409 says what to add", async () => {
    const { status, body } = await post("keyless/keys", { agent: "guest-1", name: "Guest" });
    expect([status, body["error"]]).toEqual([409, "conflict"]);
    expect(body["message"]).toContain("add { type: apiKey } to tenants.keyless.authentication");
  });

  it("is refused beside a key of somebody else, and in a header that is not its tenant's", async () => {
    const key = textOf(await post("acme/keys", { agent: "guest-2", name: "Guest" }), "key");
    await everywhere(as(key), 200);
    const url = urls()[0] ?? "";
    expect(await statusOf(url, { ...as(house.key("a-1")), authorization: `Bearer ${key}` })).toBe(401);
    expect(await statusOf(url, { ...json, "x-other-key": key })).toBe(401);
    expect(await statusOf(url, as(`${key}x`))).toBe(401);
  });

  it("that is rotated is good for the overlap and not after it; its successor stays, and cannot be skipped", async () => {
    const old = await post("acme/keys", { agent: "a-1", scopes: ["mcp:tools:invoke"] });
    await everywhere(as(textOf(old, "key")), 200);
    const path = `acme/keys/${String(old.body["id"])}/rotate`;
    const next = await post(path, { overlapSeconds: 3 });
    expect(next).toMatchObject({ status: 201, body: { agent: "a-1", scopes: ["mcp:tools:invoke"] } });
    await everywhere(as(textOf(next, "key")), 200);
    const { credentials } = (await list("acme/keys")).body as { credentials: { id: string; rotatedTo?: string }[] };
    expect(credentials.find(({ id }) => id === old.body["id"])?.rotatedTo).toBe(next.body["id"]);
    expect((await post(path, { overlapSeconds: 3 })).status).toBe(409);
    const long = await post(`acme/keys/${String(next.body["id"])}/rotate`, { overlapSeconds: 3_600 });
    await everywhere(as(textOf(long, "key")), 200);
    await everywhere(as(textOf(old, "key")), 401);
    await everywhere(as(textOf(next, "key")), 200);
  });

  it("with scopes needs those that its tenant wants of tokens: else 403; one without scopes is not restricted", async () => {
    const keyWith = async (scopes?: string[]) =>
      textOf(await post("scoped/keys", { agent: "c-1", ...(scopes && { scopes }) }), "key");
    await everywhere(as(await keyWith(["mcp:tools:invoke"])), 200);
    await everywhere(as(await keyWith()), 200);
    const other = await keyWith(["mcp:tools:list"]);
    await everywhere(as(other), 403);
    const { status, text } = await send(urls()[0] ?? "", { headers: as(other), body: toolCall("echo") });
    expect([status, text]).toEqual([403, expect.stringContaining("insufficient_scope")]);
  });

  it("expires", async () => {
    const made = await post("acme/keys", { agent: "a-1", expiresInSeconds: 2 });
    await everywhere(as(textOf(made, "key")), 200);
    await everywhere(as(textOf(made, "key")), 401);
  });

  it("that is revoked is good nowhere, and is not listed; another tenant cannot revoke it", async () => {
    const made = await post("acme/keys", { agent: "a-1" });
    const id = String(made.body["id"]);
    await everywhere(as(textOf(made, "key")), 200);
    expect((await revoke(`beta/keys/${id}`)).status).toBe(404);
    expect((await revoke(`acme/tokens/${id}`)).status).toBe(404);
    expect((await revoke(`acme/keys/${id}`)).status).toBe(200);
    await everywhere(as(textOf(made, "key")), 401);
    expect(JSON.stringify(await list("acme/keys"))).not.toContain(id);
    expect((await revoke(`acme/keys/${id}`)).status).toBe(404);
  });
});

describe("a gateway token", () => {
  it("is made for a runtime of its own or of an agent, good as a bearer token alone, in one tenant, for its TTL at most", async () => {
    const own = await post("beta/tokens", { runtime: "run-7", name: "Run 7" });
    expect(own).toMatchObject({ status: 201, body: { agent: "run-7", runtime: "run-7", listed: false } });
    const livesMs = Date.parse(String(own.body["expiresAt"])) - Date.parse(String(own.body["createdAt"]));
    expect(Math.round(livesMs / 1_000)).toBe(60);
    await everywhere(bearer(textOf(own, "token")), 200);
    await everywhere(as(textOf(own, "token")), 401);
    await everywhere({ ...bearer(textOf(own, "token")), "x-agent-api-key": house.key("b-1", "beta") }, 401);
    const ofAgent = await post("beta/tokens", { runtime: "run-8", agent: "b-1", ttlSeconds: 30, forOperator: true });
    expect(ofAgent.body).toMatchObject({ agent: "b-1", runtime: "run-8", user: "admin" });
    await everywhere(bearer(textOf(ofAgent, "token")), 200);
    expect(upstream.requests.at(-1)?.headers["x-verified-agent-id"]).toBe("b-1");
    const users = await until("the call on record", async () => {
      const rows = await house.query<{ auth_user: string | null; agent: string }>(
        "select distinct auth_user, agent_id as agent from audit_calls where tenant = 'beta' and auth = 'gatewayToken' and status = 200",
      );
      return rows.length >= 2 && rows;
    });
    expect(users).toEqual(
      expect.arrayContaining([
        { auth_user: null, agent: "run-7" },
        { auth_user: "admin", agent: "b-1" },
      ]),
    );
    expect((await post("beta/tokens", { runtime: "run-9", ttlSeconds: 61 })).status).toBe(400);
  });

  it("that is revoked or has expired is good nowhere", async () => {
    const [kept, short] = [
      await post("acme/tokens", { runtime: "run-1" }),
      await post("acme/tokens", { runtime: "run-2", ttlSeconds: 2 }),
    ];
    await everywhere(bearer(textOf(kept, "token")), 200);
    await everywhere(bearer(textOf(short, "token")), 401);
    expect((await revoke(`acme/tokens/${String(kept.body["id"])}`)).status).toBe(200);
    await everywhere(bearer(textOf(kept, "token")), 401);
  });
});

describe("sluice keys and sluice tokens", () => {
  const sluice = join(import.meta.dirname, "../../cli/dist/main.js");
  const run = (args: string, env: NodeJS.ProcessEnv = { ...process.env, SLUICE_ADMIN_TOKEN: undefined }) =>
    promisify(execFile)(process.execPath, [sluice, ...args.split(" ")], { env });
  const local = (args: string) => run(`${args} --tenant acme --data ${house.dataDir}`).then(({ stdout }) => stdout);

  it("make, rotate, list and revoke keys of a local instance", async () => {
    const [key = ""] = (await local("keys create --agent a-1 --scope mcp:tools:invoke")).split("\n");
    await everywhere(as(key), 200);
    const next = JSON.parse(await local(`keys rotate ${key.slice(0, 20)} --overlap 0 --json`)) as Record<
      string,
      string
    >;
    await everywhere(as(key), 401);
    await everywhere(as(next["key"] ?? ""), 200);
    const lines = (await local("keys list --agent a-1")).split("\n");
    expect(lines.find((line) => line.startsWith(key.slice(0, 20)))).toMatch(/ a-1 .* expired .* rotated to /);
    expect(await local(`keys revoke ${next["id"]}`)).toContain("is revoked");
    await everywhere(as(next["key"] ?? ""), 401);
  });

  it("make and revoke tokens at a URL with a token of its own, and say what is missing", async () => {
    const place = `--tenant acme --url ${house.house.adminUrl}`;
    const env = { ...process.env, SLUICE_ADMIN_TOKEN: house.house.adminToken };
    const { stdout } = await run(`tokens create --runtime run-3 --ttl 60 --json ${place}`, env);
    const made = JSON.parse(stdout) as Record<string, string>;
    await everywhere(bearer(made["token"] ?? ""), 200);
    expect((await run(`tokens list ${place}`, env)).stdout).toContain(`slt_${made["id"]}`);
    await run(`tokens revoke ${made["id"]} ${place}`, env);
    await everywhere(bearer(made["token"] ?? ""), 401);
    await expect(run(`tokens list ${place}`)).rejects.toThrow(/SLUICE_ADMIN_TOKEN/);
    await expect(run("keys list --data /nowhere")).rejects.toThrow(/no Sluice runs with the data directory/);
    await expect(local("keys revoke nonsense")).rejects.toThrow(/an id is 16 hex digits/);
    await expect(run(`keys list --data ${house.dataDir}`)).rejects.toThrow(
      /name a tenant with --tenant: acme, beta, keyless, scoped/,
    );
  });
});

describe("the admin API", () => {
  it("answers bad input with 400 and the path of each thing that is wrong", async () => {
    const wrong = await post("acme/keys", { agnet: "a-1", agent: 7, scopes: ["two words"] });
    expect(wrong.status).toBe(400);
    expect(wrong.body["problems"]).toEqual([
      expect.stringMatching(/^body\.agent: /),
      expect.stringMatching(/^body\.scopes\.0: /),
      expect.stringMatching(/^body: .*agnet/),
    ]);
    expect((await list("acme/keys?limit=0")).body["problems"]).toEqual([expect.stringMatching(/^query\.limit: /)]);
    expect((await post("acme/keys", "no object")).status).toBe(400);
  });

  it("records each change before and after it, with who did what to what", async () => {
    const made = await post("acme/keys", { agent: "a-1" });
    const rows = await until("the action", async () => {
      const found = await house.query<Record<string, unknown>>(
        "select operator, action, tenant, subject, result from audit_actions where made = $1",
        [`key ${String(made.body["id"])}`],
      );
      return found.length > 0 ? found : undefined;
    });
    expect(rows).toEqual([
      { operator: "admin", action: "keys.create", tenant: "acme", subject: "agent a-1", result: "done" },
    ]);
    await until("what was refused", async () => {
      const found = await house.query(
        "select 1 from audit_actions where action = 'keys.create' and fault = 'not_found'",
      );
      return found.length > 0;
    });
  });

  it("makes no key where the trail does not take it: 503", async () => {
    const before = ((await list("acme/keys")).body as { credentials: unknown[] }).credentials.length;
    const control = await connectAs(house, "control");
    const { streams } = await jetstreamManager(control);
    const { max_bytes } = (await streams.info("AUDIT")).config;
    await streams.update("AUDIT", { max_bytes: 1 });
    expect(await post("acme/keys", { agent: "a-1" })).toMatchObject({ status: 503, body: { error: "unavailable" } });
    expect(((await list("acme/keys")).body as { credentials: unknown[] }).credentials).toHaveLength(before);
    await streams.update("AUDIT", { max_bytes });
    await control.close();
  });
});
