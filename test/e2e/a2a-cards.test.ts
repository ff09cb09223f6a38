import { generateKeyPairSync } from "node:crypto";
import { verifyAgentCardSignature } from "@a2a-js/sdk";
import { DefaultAgentCardResolver } from "@a2a-js/sdk/client";
import { canonicalJson } from "@sluice/json";
import { startTestHouse, type TestHouse } from "@sluice/testing";
import { DefaultAgentCardResolver as OldResolver } from "a2a-sdk-0.3/client";
import { createLocalJWKSet, flattenedVerify, importJWK, type JWK, type JSONWebKeySet } from "jose";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { CardAgent, modernCard } from "./card-agent.ts";
import { as, send } from "./http.ts";

const stack = new AsyncDisposableStack();
let agent: CardAgent;
let house: TestHouse;
const publicUrl = "https://gateway.example.com/base";
const key = () =>
  generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey.export({ type: "pkcs8", format: "pem" }).toString();

beforeAll(async () => {
  agent = stack.use(await CardAgent.start());
  agent.show(modernCard(agent.url));
  const endpoints = [
    { name: "planner", card: agent.cardUrl },
    { name: "private", card: agent.cardUrl, publicCard: false },
    { name: "shared", card: agent.cardUrl },
    { name: "denied", card: agent.cardUrl },
  ];
  house = stack.use(
    await startTestHouse({
      tenants: {
        acme: {
          agents: ["a-1", "b-1"],
          a2a: { endpoints },
          accessRules: [
            { agentPattern: "*", deniedSkills: ["secret"], deniedAgents: ["denied"] },
            { agentPattern: "b-*", allowedSkills: [] },
          ],
        },
        beta: {
          agents: ["c-1"],
          a2a: { endpoints: [{ name: "shared", card: agent.cardUrl, publicCard: false }] },
          settings: { hide_denied: true },
        },
        gamma: {
          agents: ["d-1"],
          a2a: { endpoints: [{ name: "limited", card: agent.cardUrl, publicCard: false }] },
          limits: [{ path: "/a2a/GetAgentCard", maxRequests: 2, windowSeconds: 3600 }],
          routes: [{ path: "/a2a/agent-card", methods: [] }],
        },
      },
      envOf: {
        ingress: { PUBLIC_URL: publicUrl, CARD_SIGNING_KEY: key() + key(), ALLOWED_ORIGINS: "https://app.example.com" },
      },
    }),
  );
});
afterAll(() => stack.disposeAsync());

const get = (path: string, headers: Record<string, string> = {}) =>
  send(house.house.url + path, { method: "GET", headers: { host: "localhost", ...headers } });
const planner = "/a2a/planner/.well-known/agent-card.json";
const mine = (name: string, tenant?: string) => as(house.key(name, tenant)) as Record<string, string>;
const patient = { timeout: 10_000 };
const skillsOf = (text: string) => (JSON.parse(text).skills as { id: string }[]).map(({ id }) => id);

describe("cards of agents", () => {
  it("name no address but the gateway's own, as PUBLIC_URL has it, in each form", async () => {
    for (const version of ["", "1.0", "1.0.3", "0.3", "0.3.0", "9.9"]) {
      const { status, text } = await get(planner, { ...(version !== "" && { "a2a-version": version }) });
      expect([version, status]).toEqual([version, 200]);
      expect(text).not.toContain("127.0.0.1");
      expect(text).not.toContain("localhost");
      expect(text).toContain(`"url":"${publicUrl}/a2a/planner"`);
      expect(JSON.parse(text)).toMatchObject({
        "x-unknown": { kept: true },
        documentationUrl: "https://docs.example.com",
      });
      const card = JSON.parse(text) as object;
      expect([version, "supportedInterfaces" in card, "preferredTransport" in card]).toEqual([
        version,
        !version.startsWith("0"),
        !version.startsWith("1"),
      ]);
    }
    const old = JSON.parse((await get("/a2a/planner/.well-known/agent.json")).text);
    expect(old).toMatchObject({ url: `${publicUrl}/a2a/planner`, authentication: { schemes: ["apiKey", "bearer"] } });
  });

  it("are read by both official SDKs as their own, without a version and with one", async () => {
    const reaching = (input: unknown, init?: RequestInit) =>
      fetch(String(input).replace(publicUrl, house.house.url), {
        ...init,
        headers: { ...init?.headers, ...mine("a-1") },
      });
    const path = `${publicUrl}${planner}`;
    const modern = await new DefaultAgentCardResolver({ fetchImpl: reaching }).resolve(publicUrl, path);
    expect(modern.supportedInterfaces[0]).toMatchObject({ url: `${publicUrl}/a2a/planner`, protocolVersion: "1.0" });
    expect(modern.securitySchemes["apiKey"]?.scheme).toMatchObject({ $case: "apiKeySecurityScheme" });
    const legacy = await new OldResolver({ fetchImpl: reaching }).resolve(publicUrl, path);
    expect(legacy).toMatchObject({
      url: `${publicUrl}/a2a/planner`,
      preferredTransport: "JSONRPC",
      protocolVersion: "0.3.0",
    });
    expect(legacy.securitySchemes?.["apiKey"]).toMatchObject({ type: "apiKey", in: "header", name: "x-agent-api-key" });
  });

  it("are signed: a stranger verifies them by RFC 8785 and the keys that are published, and so does the official SDK", async () => {
    const keys = JSON.parse((await get("/.well-known/jwks.json")).text) as JSONWebKeySet;
    expect(keys.keys).toHaveLength(2);
    for (const one of keys.keys) expect(Object.keys(one)).not.toContain("d");
    for (const version of ["", "1.0", "0.3"]) {
      const { signatures, ...card } = JSON.parse((await get(planner, { "a2a-version": version })).text);
      const payload = Buffer.from(canonicalJson(card)).toString("base64url");
      const { protectedHeader } = await flattenedVerify({ ...signatures[0], payload }, createLocalJWKSet(keys));
      expect(protectedHeader).toMatchObject({ jku: `${publicUrl}/.well-known/jwks.json`, kid: keys.keys[0]?.kid });
    }
    const find = async (kid: string) => await importJWK(keys.keys.find((one) => one.kid === kid) as JWK, "ES256");
    const card = JSON.parse((await get(planner, { "a2a-version": "1.0" })).text);
    vi.spyOn(console, "debug").mockReturnValue();
    await verifyAgentCardSignature(find as never)(card);
  });

  it("show each caller the skills that he may see, and to nobody in particular those that everybody may", async () => {
    expect(skillsOf((await get(planner)).text)).toEqual(["plan"]);
    expect(skillsOf((await get(planner, mine("a-1"))).text)).toEqual(["plan"]);
    expect(skillsOf((await get(planner, mine("b-1"))).text)).toEqual([]);
    expect(skillsOf((await get("/a2a/shared/.well-known/agent-card.json", mine("c-1", "beta"))).text)).toEqual([
      "plan",
      "secret",
    ]);
  });

  it("are 304 to who has them, private to who says who he is, and vary by what they hang on", async () => {
    const first = await get(planner, mine("a-1"));
    const { etag = "" } = first.headers;
    expect(etag).toMatch(/^"[^"]+"$/);
    expect(first.headers).toMatchObject({
      "content-type": "application/json",
      "cache-control": "private, max-age=60",
      vary: "A2A-Version, Authorization, x-agent-api-key",
    });
    const again = await get(planner, { ...mine("a-1"), "if-none-match": `"x", ${etag}` });
    expect([again.status, again.text, again.headers.etag]).toEqual([304, "", etag]);
    expect((await get(planner, { ...mine("b-1"), "if-none-match": etag })).status).toBe(200);
    expect((await get(planner)).headers["cache-control"]).toBe("public, max-age=60");
  });

  it("A1: are for everybody only where the endpoint says so and one tenant alone has the name; a bad credential is 401", async () => {
    const at = (name: string) => `/a2a/${name}/.well-known/agent-card.json`;
    const open = ["private", "shared", "denied", "nobody", "constructor"].map(async (name) => await get(at(name)));
    const refused = await Promise.all(open);
    expect(refused.map(({ status }) => status)).toEqual([401, 401, 401, 401, 401]);
    expect(new Set(refused.map(({ text }) => text)).size).toBe(1);
    expect((await get(at("private"), mine("a-1"))).status).toBe(200);
    expect((await get(at("denied"), mine("a-1"))).status).toBe(404);
    expect((await get(at("planner"), mine("c-1", "beta"))).status).toBe(404);
    expect((await get(planner, { authorization: "Bearer garbage" })).status).toBe(401);
    expect((await get(planner, { "x-agent-api-key": "garbage" })).status).toBe(401);
  });

  it("at the root are the default agent's: of the caller's tenant, or of the only one that shows any", async () => {
    for (const path of ["/.well-known/agent-card.json", "/.well-known/agent.json"]) {
      expect(JSON.parse((await get(path)).text)).toMatchObject({ url: `${publicUrl}/a2a/planner` });
      expect(JSON.parse((await get(path, mine("c-1", "beta"))).text)).toMatchObject({ url: `${publicUrl}/a2a/shared` });
    }
    expect((await get("/a2a/agent-card")).status).toBe(401);
    expect(JSON.parse((await get("/a2a/agent-card", mine("c-1", "beta"))).text)).toMatchObject({
      url: `${publicUrl}/a2a/shared`,
    });
  });

  it("are read as any other call by who says who he is: recorded, limited, and by the methods that the tenant left", async () => {
    const path = "/a2a/limited/.well-known/agent-card.json";
    const statuses = [];
    for (let index = 0; index < 3; index++) statuses.push((await get(path, mine("d-1", "gamma"))).status);
    expect(statuses).toEqual([200, 200, 429]);
    const sql = "select method, target, status from audit_calls where server = 'limited' order by at";
    const rows = async () => await house.query<{ status: number }>(sql);
    const row = (status: number) => ({ method: "GetAgentCard", target: "limited", status });
    await expect.poll(rows, patient).toEqual([row(200), row(200), row(429)]);
    expect((await get("/a2a/agent-card", mine("d-1", "gamma"))).status).toBe(405);
  });

  it("A18: are for no foreign Host or Origin, and are only read", async () => {
    for (const path of [planner, "/.well-known/agent-card.json", "/.well-known/jwks.json"]) {
      expect((await get(path, { host: "evil.example.com" })).status).toBe(403);
      const foreign = await get(path, { origin: "https://evil.example.com" });
      expect([foreign.status, foreign.headers["access-control-allow-origin"]]).toEqual([403, undefined]);
      const posted = await send(house.house.url + path, { headers: { host: "localhost", ...mine("a-1") }, body: "{}" });
      expect([posted.status, posted.headers.allow]).toEqual([405, "GET"]);
    }
  });

  it("a flood of readers asks the agent once", async () => {
    const before = agent.asked.length;
    const answers = await Promise.all(Array.from({ length: 200 }, () => get(planner)));
    expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([200]));
    expect(agent.asked.length - before).toBeLessThanOrEqual(1);
  });
});

describe("what a card may not do", () => {
  it("A13, A40: a hostile one, or one that never comes, is 502 within bounds, and no other agent's reader notices", async () => {
    const hostile = stack.use(await CardAgent.start());
    const deep = `{"name":"x","a":${"[".repeat(20_000)}${"]".repeat(20_000)}}`;
    const shown: Record<string, unknown> = {
      large: { name: "x", description: "x".repeat(1_100_000) },
      deep,
      html: "<html>",
      array: [],
      nameless: {},
      redirect: (_: unknown, response: import("node:http").ServerResponse) =>
        void response.writeHead(302, { location: agent.cardUrl }).end(),
      hanging: () => {},
      evil: modernCard("https://elsewhere.example.com", {
        documentationUrl: "javascript:alert(1)",
        iconUrl: "data:text/html,x",
        skills: "all",
      }),
      odd: `{"name":"odd","__proto__":{"polluted":1},"skills":[{"id":"a","constructor":{"prototype":{"polluted":1}}}],"capabilities":[]}`,
    };
    for (const [name, document] of Object.entries(shown)) hostile.show(document, `/${name}.json`);
    await house.configure({
      acme: {
        agents: ["a-1", "b-1"],
        a2a: {
          endpoints: [
            { name: "planner", card: agent.cardUrl },
            ...Object.keys(shown).map((name) => ({ name, card: `${hostile.url}/${name}.json` })),
          ],
        },
      },
    });
    await expect.poll(async () => (await get("/a2a/odd/.well-known/agent-card.json")).status, patient).toBe(200);
    const odd = await get("/a2a/odd/.well-known/agent-card.json");
    expect(odd.text).not.toContain("polluted");
    const hanging = get("/a2a/hanging/.well-known/agent-card.json");
    for (const name of ["large", "deep", "html", "array", "nameless", "redirect", "evil"]) {
      const { status, text } = await get(`/a2a/${name}/.well-known/agent-card.json`);
      expect([name, status, JSON.parse(text).error.data.error]).toEqual([name, 502, "upstream_failed"]);
      expect(text).not.toContain(hostile.url);
    }
    expect((await get(planner)).status).toBe(200);
    expect((await hanging).status).toBe(502);
  });

  it("an edit of the rules shows at once", async () => {
    const a2a = { endpoints: [{ name: "planner", card: agent.cardUrl }] };
    const tenant = { agents: ["a-1", "b-1"], a2a };
    await house.configure({ acme: { ...tenant, accessRules: [{ agentPattern: "*", allowedSkills: ["secret"] }] } });
    await expect.poll(async () => skillsOf((await get(planner)).text), patient).toEqual(["secret"]);
    await house.configure({ acme: { ...tenant, accessRules: [{ agentPattern: "*", deniedAgents: ["*"] }] } });
    await expect.poll(async () => (await get(planner, mine("a-1"))).status, patient).toBe(404);
    expect((await get(planner)).status).toBe(401);
  });
});
