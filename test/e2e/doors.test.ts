import type { OutgoingHttpHeaders } from "node:http";
import { Registry } from "@sluice/telemetry";
import { FakeUpstream, startTestHouse, until, type TestHouse } from "@sluice/testing";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { adminRoutes } from "../../services/control/dist/admin/index.js";
import { configSchema } from "../../services/ingress/dist/config.js";
import { createServer } from "../../services/ingress/dist/server.js";
import { BusSpy } from "./bus-spy.ts";
import { forgedCredentials } from "./credentials.ts";
import { as, json, refusal, send, toolCall } from "./http.ts";
import { routesIn } from "./routes.ts";

let house: TestHouse;
let upstream: FakeUpstream;
let spy: BusSpy;
const call = toolCall("read_file");
const tenants = (agents: string[]) => ({
  acme: {
    agents,
    mcp: { endpoints: [{ name: "main", url: upstream.url, listCacheSeconds: 0 }] },
    accessRules: [{ agentPattern: "*", allowedTools: ["read_file", "landmark-*"] }],
  },
});

beforeAll(async () => {
  upstream = await FakeUpstream.start();
  house = await startTestHouse({ tenants: tenants(["a-1", "gone-1"]) });
  spy = await BusSpy.open(house);
});
afterAll(async () => {
  await spy?.[Symbol.asyncDispose]();
  await house?.[Symbol.asyncDispose]();
  await upstream?.[Symbol.asyncDispose]();
});
beforeEach(async () => {
  await spy.heard(landmark);
  upstream.requests.splice(0);
});

const landmark = (tool: string) =>
  send(`${house.house.url}/mcp`, { headers: as(house.key("a-1")), body: toolCall(tool) });

/** The routers as the services build them, to know what they register; they serve nothing here. */
async function registered() {
  const unused = undefined as never;
  const ingress = createServer({
    config: configSchema.parse({}),
    log: unused,
    metrics: new Registry(),
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
  });
  await ingress.ready();
  const list = (app: typeof ingress) => routesIn(app.printRoutes({ commonPrefix: false }));
  return { ingress: list(ingress), admin: adminRoutes.map(({ method, path }) => ({ method, url: path })) };
}

/** A request to a route of the router's table, at what the configuration calls "main". */
const ask = ({ method, url }: { method: string; url: string }, headers: OutgoingHttpHeaders) =>
  send(house.house.url + url.replace(/:server|:agent/, "main"), {
    method,
    headers,
    ...(method === "POST" && { body: call }),
  });

const unauthorized = refusal(1401, {
  error: "unauthorized",
  message: "send a valid API key in x-agent-api-key or as Authorization: Bearer",
});

/** What proves itself by its path says no more than that it does not. */
const notForPush = refusal(1401, { error: "unauthorized", message: "this is no address for push notifications" });

/** The table in parts, each a test's work. */
const areas = {
  "below /mcp": {
    isHere: (url: string) => url.startsWith("/mcp"),
    known: [
      "POST /mcp",
      "GET /mcp",
      "DELETE /mcp",
      "POST /mcp/:server",
      "HEAD /mcp",
      "GET /mcp/sse",
      "GET /mcp/:server/sse",
      "POST /mcp/messages",
      "POST /mcp/initialize",
      "GET /mcp/tools/list",
      "POST /mcp/tools/list",
      "POST /mcp/tools/call",
      "GET /mcp/resources/list",
      "POST /mcp/resources/list",
      "POST /mcp/resources/read",
      "GET /mcp/registration",
      "GET /mcp/:server/registration",
    ],
  },
  "below /a2a": {
    isHere: (url: string) => url.startsWith("/a2a"),
    known: [
      "POST /a2a",
      "POST /a2a/:agent",
      "GET /a2a/:agent/*",
      "POST /a2a/:agent/*",
      "DELETE /a2a/:agent/*",
      "GET /a2a/agent-card",
      "GET /a2a/:agent/.well-known/agent-card.json",
      "POST /a2a/tasks/send",
      "POST /a2a/tasks/sendSubscribe",
      "GET /a2a/tasks/get",
      "POST /a2a/tasks/get",
      "POST /a2a/tasks/cancel",
    ],
  },
  elsewhere: {
    isHere: (url: string) => !/^\/(?:mcp|a2a)/.test(url),
    known: ["GET /.well-known/agent.json", "GET /.well-known/jwks.json"],
  },
};

describe("who is not known", () => {
  let forged: ReturnType<typeof forgedCredentials>;
  beforeAll(async () => {
    forged = forgedCredentials({ key: house.key("a-1"), revoked: house.key("gone-1") });
    const revoked = { headers: as(house.key("gone-1")), body: call };
    expect((await send(`${house.house.url}/mcp`, revoked)).status).toBe(200);
    await house.configure(tenants(["a-1"]));
    // A call that is under way when its key is withdrawn ends with its connection.
    const status = () =>
      send(`${house.house.url}/mcp`, revoked).then(
        ({ status: given }) => given,
        () => undefined,
      );
    await until("the revoked key to be refused", async () => (await status()) === 401);
  });

  it.each(Object.entries(areas))(
    "A1: every route %s of the router's table answers 401 to every credential that is missing, garbage, revoked or forged; no message is on the bus",
    async (_where, { isHere, known }) => {
      const routes = (await registered()).ingress.filter(({ url }) => isHere(url));
      expect(routes.map(({ method, url }) => `${method} ${url}`)).toEqual(expect.arrayContaining([...known]));
      for (const { method, url } of [...routes, ...unregistered.filter((route) => isHere(route.url))]) {
        const asked = Object.entries(forged).map(async ([name, headers]) => {
          const answer = await ask({ method, url }, { ...json, ...headers });
          const what = `${method} ${url} with ${name}`;
          expect(answer.status, what).toBe(401);
          expect(answer.headers["www-authenticate"], what).toBe('Bearer realm="sluice"');
          const told = url.startsWith("/a2a/push/") && method === "POST" ? notForPush : unauthorized;
          if (method !== "HEAD") expect(JSON.parse(answer.text), what).toEqual(told);
        });
        await Promise.all(asked);
      }
      expect(await spy.heard(landmark)).toEqual([]);
      expect(upstream.requests.map(({ message }) => message?.params?.["name"])).toEqual([spy.landmark]);
    },
  );

  it("A1: a path that the router cannot read answers 401 too, or 403 to a foreign page, and is not echoed", async () => {
    for (const path of [`/mcp/${"x".repeat(300)}`, "/mcp/%zz", "/%zz", "/mcp/%c0%af", "/mcp/%"]) {
      const unknown = await send(house.house.url + path, { headers: json, body: call });
      expect(unknown.status, `${path} without a key`).toBe(401);
      expect(unknown.text, path).not.toContain(path);
      const foreign = await send(house.house.url + path, {
        headers: as(house.key("a-1"), { origin: "https://evil.example" }),
        body: call,
      });
      expect(foreign.status, `${path} from a foreign page`).toBe(403);
    }
  });

  it("A1: a key in the query string is no credential", async () => {
    const key = house.key("a-1");
    for (const name of ["x-agent-api-key", "api_key", "access_token", "token"]) {
      const answer = await send(`${house.house.url}/mcp?${name}=${key}`, { headers: json, body: call });
      expect(answer.status, name).toBe(401);
      expect(answer.everything).not.toContain(key);
    }
    expect(await spy.heard(landmark)).toEqual([]);
  });

  it("A1: every route of the admin API answers 401 without the admin token, to an agent's key too", async () => {
    const credentials = [
      "",
      "Bearer",
      "Bearer ",
      "Bearer garbage",
      `Bearer ${house.key("a-1")}`,
      `Basic ${house.house.adminToken}`,
      house.house.adminToken,
    ];
    const routes = [
      ...(await registered()).admin,
      { method: "GET", url: "/" },
      { method: "POST", url: "/v1/status" },
      { method: "GET", url: "/health" },
      { method: "GET", url: "/%zz" },
      { method: "GET", url: `/v1/${"x".repeat(300)}` },
    ];
    expect(routes).toContainEqual({ method: "GET", url: "/v1/status" });
    for (const { method, url } of routes) {
      const asked = credentials.map(async (authorization) => {
        const answer = await send(house.house.adminUrl + url, { method, headers: { authorization } });
        expect(answer.status, `${method} ${url} with "${authorization}"`).toBe(401);
        if (method !== "HEAD") expect(Object.keys(JSON.parse(answer.text)).sort()).toEqual(["error", "message"]);
      });
      await Promise.all(asked);
    }
    const known = await send(`${house.house.adminUrl}/v1/status`, {
      method: "GET",
      headers: { authorization: `Bearer ${house.house.adminToken}` },
    });
    expect(known.status).toBe(200);
  });

  it("A1: health and metrics are open on a port of their own in every service, and nothing else is there", async () => {
    for (const { service, health } of house.house.replicas) {
      for (const path of ["/health", "/ready", "/metrics"]) {
        expect((await send(health + path, { method: "GET" })).status, `${service}${path}`).toBe(200);
        expect((await send(health + path, { body: "x" })).status, `POST ${service}${path}`).toBe(405);
      }
      for (const path of ["/", "/mcp", "/v1/status", "/debug", "/health/../mcp"]) {
        expect(
          (await send(health + path, { method: "GET", headers: as(house.key("a-1")) })).status,
          service + path,
        ).toBe(404);
      }
    }
  });
});

const unregistered = [
  { method: "GET", url: "/" },
  { method: "GET", url: "/health" },
  { method: "GET", url: "/metrics" },
  { method: "POST", url: "/mcp/" },
  { method: "POST", url: "/mcp/main/more" },
  { method: "TRACE", url: "/mcp" },
  { method: "PROPFIND", url: "/mcp" },
  { method: "GET", url: "/.well-known/oauth-protected-resource" },
];

describe("who comes from a foreign page or name", () => {
  const origins = [
    ...[
      "https://evil.example",
      "null",
      "",
      "file://",
      "http://127.0.0.1.evil.example",
      "http://localhost.evil.example",
      "http://localhost@evil.example",
    ],
    ...[
      "http://[::1].evil.example",
      "HTTPS://EVIL.EXAMPLE",
      "http://127.0.0.1:1:2",
      "http://127.0.0.1/path",
      "http://localhost https://evil.example",
      "chrome-extension://abc",
    ],
  ];
  const hosts = [
    "evil.example",
    "127.0.0.1.evil.example",
    "localhost.evil.example",
    "localhost@evil.example",
    "[::1].evil.example",
    "127.0.0.1:1:2",
    "0.0.0.0",
    "127.1",
    "a, localhost",
  ];

  it.each([
    { field: "origin", name: "Origin", values: origins },
    { field: "host", name: "Host", values: hosts },
  ])(
    "A18: a foreign $name answers 403 on every route, with and without a valid key; nothing is on the bus",
    async ({ field, values }) => {
      const foreign = values.flatMap((value) => [
        as(house.key("a-1"), { [field]: value }),
        { ...json, [field]: value },
      ]);
      for (const { method, url } of [...(await registered()).ingress, { method: "GET", url: "/elsewhere" }]) {
        const asked = foreign.map(async (headers) => {
          const answer = await ask({ method, url }, headers);
          expect(answer.status, `${method} ${url} with ${field} "${String(headers[field])}"`).toBe(403);
          expect(answer.everything).not.toMatch(/access-control-allow/i);
          if (method !== "HEAD") expect(JSON.parse(answer.text).error.data.error).toBe(`foreign_${field}`);
        });
        await Promise.all(asked);
      }
      expect(await spy.heard(landmark)).toEqual([]);
    },
  );

  it("A18: a page of this machine may call, and is not told that every origin may", async () => {
    for (const origin of ["http://localhost:5173", "http://127.0.0.1", "https://[::1]:8443"]) {
      const answer = await send(`${house.house.url}/mcp`, { headers: as(house.key("a-1"), { origin }), body: call });
      expect(answer.status, origin).toBe(200);
      expect(answer.headers["access-control-allow-origin"]).not.toBe("*");
    }
  });

  it("A18: a foreign Origin answers 403 at the admin API and at health and metrics too", async () => {
    const headers = { origin: "https://evil.example", authorization: `Bearer ${house.house.adminToken}` };
    expect((await send(`${house.house.adminUrl}/v1/status`, { method: "GET", headers })).status, "admin").toBe(403);
    for (const { service, health } of house.house.replicas) {
      for (const path of ["/health", "/ready", "/metrics"])
        expect((await send(health + path, { method: "GET", headers })).status, service + path).toBe(403);
    }
  });

  it("A18: a foreign Host answers 403 at the admin API", async () => {
    const headers = { host: "evil.example", authorization: `Bearer ${house.house.adminToken}` };
    expect((await send(`${house.house.adminUrl}/v1/status`, { method: "GET", headers })).status).toBe(403);
  });
});
