import { createHmac } from "node:crypto";
import type { IncomingHttpHeaders } from "node:http";
import { Registry } from "@sluice/telemetry";
import { FakeUpstream, startTestHouse, until, type TestHouse } from "@sluice/testing";
import { freePort } from "@sluice/launcher";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { configSchema } from "../../services/ingress/dist/config.js";
import { createServer } from "../../services/ingress/dist/server.js";
import { AgentAuthorization } from "./agent-authorization.ts";
import { BusSpy } from "./bus-spy.ts";
import { json, send, toolCall, type Answer } from "./http.ts";
import { openStream } from "./open-stream.ts";
import { routesIn } from "./routes.ts";

const stack = new AsyncDisposableStack();
let house: TestHouse;
let upstream: FakeUpstream;
let authorization: AgentAuthorization;
let foreign: AgentAuthorization;
let spy: BusSpy;
let publicUrl: string;
const inSeconds = (seconds: number) => Math.floor(Date.now() / 1000) + seconds;

type Method = Record<string, unknown>;
const oauth = (more: Method = {}): Method => {
  return { type: "oauth2ClientCredentials", issuer: authorization.issuer, clockSkewSeconds: 0, ...more };
};
const tenant = (authentication: Method[], agents: string[] = []) => ({
  agents,
  authentication,
  mcp: {
    endpoints: [
      { name: "main", url: upstream.url },
      { name: "other", url: upstream.url },
    ],
  },
  accessRules: [{ agentPattern: "*", allowedTools: ["*"] }],
});
const shared = { audience: "urn:shared" };
const tenants = (more: Record<string, ReturnType<typeof tenant>> = {}) => ({
  acme: tenant([{ type: "apiKey" }, oauth({ requiredScopes: ["mcp:tools:invoke"] })], ["a-1"]),
  beta: tenant([oauth({ audience: ["urn:beta", "urn:beta-2"], algorithms: ["ES256", "PS256"] })]),
  gamma: tenant([oauth({ ...shared, tenantClaim: { name: "org" } })]),
  delta: tenant([oauth({ ...shared, tenantClaim: { name: "org", value: "delta-org" } })]),
  named: tenant([
    oauth({
      audience: "urn:named",
      identityExtraction: {
        agentId: "#[vars.tokenClaims.agent_id]",
        agentName: "agent.name",
        agentOwner: "https://x.example/owner",
      },
    }),
  ]),
  ...more,
});

beforeAll(async () => {
  upstream = stack.use(await FakeUpstream.start());
  authorization = stack.use(await AgentAuthorization.start());
  foreign = stack.use(await AgentAuthorization.start());
  const port = await freePort();
  publicUrl = `http://127.0.0.1:${port}`;
  house = stack.use(
    await startTestHouse({
      port,
      envOf: { ingress: { PUBLIC_URL: publicUrl, LOG_LEVEL: "trace" } },
      tenants: tenants(),
    }),
  );
  spy = stack.use(await BusSpy.open(house));
});
afterAll(() => stack.disposeAsync());
beforeEach(() => void upstream.requests.splice(0));

const own = () => `${publicUrl}/mcp`;
const bearer = (token: string) => ({ ...json, authorization: `Bearer ${token}` });
const call = (token: string, path = "/mcp/main", tool = "read_file"): Promise<Answer> =>
  send(publicUrl + path, { headers: bearer(token), body: toolCall(tool) });
const landmark = (tool: string) =>
  send(`${publicUrl}/mcp/main`, { headers: { ...json, "x-agent-api-key": house.key("a-1") }, body: toolCall(tool) });
const unsigned = (header: object, claims: object, signature: (signed: string) => string) => {
  const signed = [header, claims].map((part) => Buffer.from(JSON.stringify(part)).toString("base64url")).join(".");
  return `${signed}.${signature(signed)}`;
};

/** Tokens that each lack one thing, under the name of what is wrong with them. */
async function badTokens(): Promise<Record<string, string>> {
  const aud = own();
  const good = await authorization.sign({ aud });
  const [header = "", payload = "", signature = ""] = good.split(".");
  const claims = JSON.parse(Buffer.from(payload, "base64url").toString()) as object;
  const hmac = (key: string) => (signed: string) => createHmac("sha256", key).update(signed).digest("base64url");
  const changed = Buffer.from(JSON.stringify({ ...claims, client_id: "admin" })).toString("base64url");
  return {
    expired: await authorization.sign({ aud, exp: inSeconds(-2) }),
    "without an expiry": await authorization.sign({ aud, exp: undefined } as never),
    "of the future": await authorization.sign({ aud, nbf: inSeconds(60) }),
    "of alg none": unsigned({ alg: "none", typ: "at+jwt" }, claims, () => ""),
    "of alg None with a signature": unsigned({ alg: "None", typ: "at+jwt" }, claims, () => signature),
    "of HS256 with the public key": unsigned({ alg: "HS256", kid: "as-1" }, claims, hmac(authorization.publicPem)),
    "of HS256 with the public key, trimmed": unsigned(
      { alg: "HS256", kid: "as-1" },
      claims,
      hmac(authorization.publicPem.trim()),
    ),
    "with another's signature": await foreign.sign({ aud, iss: authorization.issuer }),
    "with changed claims": `${header}.${changed}.${signature}`,
    "without a signature": `${header}.${payload}.`,
    "of an unknown key": await authorization.sign({ aud }, { kid: "as-9" }),
    "with a key of its own": await foreign.sign(
      { aud, iss: authorization.issuer },
      { jku: `${foreign.issuer}/jwks`, kid: "as-1" },
    ),
    "of another type": await authorization.sign({ aud }, { typ: "logout+jwt" }),
    "bound to a key": await authorization.sign({ aud, cnf: { jkt: "x" } }),
    "without an agent": await authorization.sign({ aud, client_id: undefined } as never),
    "of an agent with a bad id": await authorization.sign({ aud, client_id: "a b" } as never),
    garbage: "e30.e30.e30",
  };
}

const wrongTarget = async (): Promise<Record<string, string>> => ({
  "of another issuer": await foreign.sign({ aud: own() }),
  "of an issuer that is spelt otherwise": await authorization.sign({ aud: own(), iss: `${authorization.issuer}/` }),
  "for another audience": await authorization.sign({ aud: "https://other.example/mcp" }),
  "without an audience": await authorization.sign({}),
  "for a longer address": await authorization.sign({ aud: `${own()}/main/x` }),
  "for a tenant that is nobody's": await authorization.sign({ aud: "urn:shared", org: "epsilon" }),
  "for no tenant of several": await authorization.sign({ aud: "urn:shared" }),
  "for two tenants at once": await authorization.sign({ aud: [own(), "urn:named"], agent_id: "x-1" }),
  "with an algorithm that its tenant does not allow": await authorization.sign({ aud: "urn:beta" }),
});

describe("a token that is not good", () => {
  it("A1: expired, of alg none, HS/RS-confused or forged otherwise answers 401 on every route; nothing is on the bus", async () => {
    const unused = undefined as never;
    const parts = {
      log: unused,
      authentication: unused,
      resource: unused,
      mcp: unused,
      a2a: unused,
      taskPaths: unused,
      cardDesk: unused,
      push: unused,
      sse: unused,
      paths: unused,
      tenants: unused,
      door: unused,
    };
    const app = createServer({ ...parts, config: configSchema.parse({}), metrics: new Registry() });
    await app.ready();
    const routes = routesIn(app.printRoutes({ commonPrefix: false }));
    const open = routes.filter(({ method, url }) => method === "GET" && url.includes("oauth-protected-resource"));
    expect(open.map(({ url }) => url)).toEqual([
      "/.well-known/oauth-protected-resource",
      "/.well-known/oauth-protected-resource/mcp",
      "/.well-known/oauth-protected-resource/mcp/:server",
      "/.well-known/oauth-protected-resource/a2a",
      "/.well-known/oauth-protected-resource/a2a/:server",
    ]);
    await spy.heard(landmark);
    const tokens = Object.entries(await badTokens());
    for (const { method, url } of routes.filter((route) => !open.includes(route))) {
      const asked = tokens.map(async ([name, token]) => {
        const answer = await send(publicUrl + url.replace(/:server|:agent/, "main"), {
          method,
          headers: bearer(token),
          ...(method === "POST" && { body: toolCall("read_file") }),
        });
        expect(answer.status, `${method} ${url}: ${name}`).toBe(401);
        expect(answer.headers["www-authenticate"], name).toContain("resource_metadata=");
        expect(answer.everything).not.toContain(token.slice(-20));
      });
      await Promise.all(asked);
    }
    expect(await spy.heard(landmark)).toEqual([]);
  });

  it("A2: one with another audience, issuer or tenant answers 401, with invalid_token where it could have been ours", async () => {
    for (const [name, token] of Object.entries(await wrongTarget())) {
      const answer = await call(token);
      expect(answer.status, name).toBe(401);
      if (!name.includes("issuer")) expect(answer.headers["www-authenticate"], name).toContain('error="invalid_token"');
    }
    expect(upstream.requests).toEqual([]);
  });

  it("A2: one for a single server is good at that server alone", async () => {
    const token = await authorization.sign({ aud: `${own()}/other` });
    expect((await call(token, "/mcp/other")).status).toBe(200);
    for (const path of ["/mcp/main", "/mcp", "/mcp/tools/call"])
      expect((await call(token, path)).status, path).toBe(401);
    const all = await authorization.sign({ aud: own() });
    for (const path of ["/mcp/main", "/mcp/other"]) expect((await call(all, path)).status, path).toBe(200);
  });
});

describe("a token that is good", () => {
  it("speaks for the tenant that its audience and claims name, and for the agent that its claims name", async () => {
    const who = async (claims: object) => {
      const answer = await call(await authorization.sign(claims as never));
      expect(answer.status).toBe(200);
      const headers: IncomingHttpHeaders = upstream.requests.at(-1)?.headers ?? {};
      return ["id", "name", "owner"].map((part) => headers[`x-verified-agent-${part}`]);
    };
    expect(await who({ aud: own() })).toEqual(["sentinel-7", undefined, undefined]);
    expect(await who({ aud: "urn:shared", org: "gamma" })).toEqual(["sentinel-7", undefined, undefined]);
    const claims = { agent_id: "n-1", agent: { name: "Nö" }, "https://x.example/owner": "ops" };
    expect(await who({ aud: "urn:named", ...claims })).toEqual(["n-1", "N%C3%B6", "ops"]);
    const rows = await until("the audit rows", async () => {
      const found = await house.query<{ tenant: string; agent_id: string }>(
        "select distinct tenant, agent_id from audit_calls where auth = 'oauth2'",
      );
      return found.length >= 3 ? found : undefined;
    });
    expect(rows).toEqual(
      expect.arrayContaining([
        { tenant: "acme", agent_id: "sentinel-7" },
        { tenant: "gamma", agent_id: "sentinel-7" },
        { tenant: "named", agent_id: "n-1" },
      ]),
    );
  });

  it("reads in the registration document of its tenant how to log in, where there is no other way", async () => {
    const token = await authorization.sign({ aud: "urn:shared", org: "gamma" });
    const answer = await send(`${publicUrl}/mcp/main/registration`, { method: "GET", headers: bearer(token) });
    expect(JSON.parse(answer.text)).toMatchObject({
      mcpServer: { authentication: { type: "oauth2ClientCredentials", issuer: authorization.issuer } },
    });
  });

  it("A5: is not sent on: no part of it reaches an upstream, the bus, the audit trail or a log", async () => {
    const token = await authorization.sign({ aud: own(), canary: "cnry-in-a-claim" });
    await spy.heard(landmark);
    expect((await call(token)).status).toBe(200);
    expect((await send(`${own()}/main`, { headers: bearer(token), body: "{" })).status).toBe(400);
    const overheard = await spy.heard(landmark);
    expect(overheard.length).toBeGreaterThan(0);
    const places = {
      "the upstream": upstream.everything,
      "the bus": overheard.map(({ text }) => text).join("\n"),
      "the audit trail": await house.stored(),
      logs: await house.logs(),
    };
    for (const [place, text] of Object.entries(places))
      for (const part of [...token.split(".").slice(1), "cnry-in-a-claim"])
        expect(text.includes(part), `${part.slice(0, 12)}… in ${place}`).toBe(false);
  });
});

describe("what is under way", () => {
  it("A8: the stream of a token ends within 5 s after it expired; others go on", async () => {
    const at = inSeconds(2);
    const [short, long] = await Promise.all([
      authorization.sign({ aud: own(), exp: at }).then((token) => openStream(publicUrl, bearer(token))),
      authorization.sign({ aud: own() }).then((token) => openStream(publicUrl, bearer(token))),
    ]);
    const closedAt = await short.closed;
    expect(closedAt).toBeGreaterThanOrEqual(at * 1000);
    expect(closedAt - at * 1000).toBeLessThan(5_000);
    expect(long.isOpen).toBe(true);
  });

  it("A8: streams end within 5 s when the key is withdrawn, or the tenant's trust in the issuer; an edit that leaves them alone ends none", async () => {
    const byKey = await openStream(publicUrl, { "x-agent-api-key": house.key("a-1") });
    const byToken = await openStream(publicUrl, bearer(await authorization.sign({ aud: own() })));
    const stays = await openStream(publicUrl, bearer(await authorization.sign({ aud: "urn:shared", org: "gamma" })));
    await house.configure(tenants({ late: tenant([], ["l-1"]) }));
    expect([byKey, byToken].map(({ isOpen }) => isOpen)).toEqual([true, true]);
    const editedAt = Date.now();
    await house.configure(tenants({ acme: tenant([{ type: "apiKey" }], ["a-2"]) }));
    for (const { closed } of [byKey, byToken]) expect((await closed) - editedAt).toBeLessThan(5_000);
    expect(stays.isOpen).toBe(true);
    await house.configure(tenants());
    await until(
      "acme's issuer to be back",
      async () => (await call(await authorization.sign({ aud: own() }))).status === 200,
    );
  });
});
