import { randomBytes } from "node:crypto";
import type { ServerResponse } from "node:http";
import { freePort } from "@sluice/launcher";
import { FakeUpstream, startTestHouse, until, type ReceivedRequest, type TestHouse } from "@sluice/testing";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { AgentAuthorization, gatewayByKey, gatewayClient } from "./agent-authorization.ts";
import { BusSpy } from "./bus-spy.ts";
import { json, send, toolCall, type Answer } from "./http.ts";
import { openStream } from "./open-stream.ts";
import { runService } from "./service-run.ts";

const stack = new AsyncDisposableStack();
const endpointToken = `cnry-${randomBytes(24).toString("base64url")}`;
const env = { GATEWAY_SECRET: gatewayClient.secret, GATEWAY_KEY: gatewayByKey.pem, ENDPOINT_TOKEN: endpointToken };
let house: TestHouse;
let upstream: FakeUpstream;
let identity: FakeUpstream;
let opaque: AgentAuthorization;
let signing: AgentAuthorization;
let spy: BusSpy;
let publicUrl: string;
let answerKey: (key: string, response: ServerResponse) => void;

const tenant = (authentication: Record<string, unknown>[], agents: string[] = []) => ({
  agents,
  authentication,
  mcp: { endpoints: [{ name: "main", url: upstream.url }] },
  accessRules: [{ agentPattern: "*", allowedTools: ["*"] }],
});

/** The tenants, and as whom the gateway asks about opaque tokens. */
const tenants = (client: Record<string, string>) => ({
  acme: tenant([{ type: "apiKey" }], ["a-1"]),
  opal: tenant([
    {
      ...{ type: "oauth2ClientCredentials", issuer: opaque.issuer, cacheSeconds: 1 },
      ...{ introspectionUrl: `${opaque.issuer}/token/introspection`, ...client },
    },
  ]),
  signed: tenant([{ type: "oauth2ClientCredentials", issuer: signing.issuer }]),
  keyed: tenant([
    {
      type: "apiKey",
      headerName: "x-keyed",
      validationEndpoint: identity.url,
      validationCredentials: {
        type: "header",
        headerName: "authorization",
        prefix: "Bearer",
        value: "${env:ENDPOINT_TOKEN}",
      },
      cacheSeconds: 1,
    },
  ]),
});

const tell = (response: ServerResponse, status: number, answer: unknown) =>
  void response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(answer));
const byTable = (key: string, response: ServerResponse) => {
  const good = key.startsWith("cnry-key");
  tell(response, good ? 200 : 404, good ? { agent_id: "keyed-1", agent_name: "Keyed", owner: "ops" } : {});
};

beforeAll(async () => {
  upstream = stack.use(await FakeUpstream.start());
  identity = stack.use(
    await FakeUpstream.start(({ body }: ReceivedRequest, response) =>
      answerKey((JSON.parse(body.toString()) as { apiKey: string }).apiKey, response),
    ),
  );
  opaque = stack.use(await AgentAuthorization.start({ format: "opaque" }));
  signing = stack.use(await AgentAuthorization.start());
  const port = await freePort();
  publicUrl = `http://127.0.0.1:${port}`;
  house = stack.use(
    await startTestHouse({
      port,
      env,
      envOf: { ingress: { PUBLIC_URL: publicUrl, LOG_LEVEL: "trace" } },
      tenants: tenants({ clientId: gatewayClient.id, clientSecret: "${env:GATEWAY_SECRET}" }),
    }),
  );
  spy = stack.use(await BusSpy.open(house));
});
afterAll(() => stack.disposeAsync());
beforeEach(() => {
  answerKey = byTable;
  for (const server of [upstream, identity]) server.requests.splice(0);
});
afterEach(() => {
  opaque.outOfOrder = undefined;
  signing.outOfOrder = undefined;
});

const call = (headers: Record<string, string>): Promise<Answer> =>
  send(`${publicUrl}/mcp/main`, { headers: { ...json, ...headers }, body: toolCall("read_file") });
const bearer = (token: string) => ({ authorization: `Bearer ${token}` });
const landmark = (tool: string) =>
  send(`${publicUrl}/mcp`, { headers: { ...json, "x-agent-api-key": house.key("a-1") }, body: toolCall(tool) });
const introspections = () => opaque.requests.filter((line) => line === "POST /token/introspection").length;
const newKey = () => `cnry-key-${randomBytes(16).toString("hex")}`;

/** The ways in which who is asked can fail. */
const failures: Record<string, (response: ServerResponse) => void> = {
  "refuses the gateway's own credentials": (response) => void response.writeHead(401).end("{}"),
  "answers 500": (response) => void response.writeHead(500).end("{}"),
  "answers no JSON": (response) => void response.writeHead(200, { "content-type": "application/json" }).end("<html>"),
  redirects: (response) => void response.writeHead(302, { location: "http://127.0.0.1:9/" }).end(),
  "answers too much": (response) =>
    void response
      .writeHead(200, { "content-type": "application/json" })
      .end(`{"active":true,"x":"${"x".repeat(400_000)}"}`),
  "breaks off": (response) => void response.destroy(),
  hangs: () => {},
};

describe("an opaque token", () => {
  it("is asked about once however many calls come with it, and speaks for its agent", async () => {
    const token = await opaque.issue(`${publicUrl}/mcp`);
    const before = introspections();
    const answers = await Promise.all(Array.from({ length: 20 }, () => call(bearer(token))));
    expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([200]));
    expect(introspections() - before).toBeLessThanOrEqual(2);
    expect(upstream.requests[0]?.headers["x-verified-agent-id"]).toBe("sentinel-7");
  });

  it("A2: for another audience, or that nobody issued, answers 401", async () => {
    expect((await call(bearer(await opaque.issue("https://other.example/mcp")))).status).toBe(401);
    expect((await call(bearer("never-issued"))).status).toBe(401);
    expect(upstream.requests).toEqual([]);
  });

  it("A8: that is revoked ends its stream within 5 s, and answers 401", async () => {
    const [revoked, other] = [await opaque.issue(`${publicUrl}/mcp`), await opaque.issue(`${publicUrl}/mcp`)];
    const [ends, goesOn] = await Promise.all([revoked, other].map((token) => openStream(publicUrl, bearer(token))));
    await opaque.revoke(revoked);
    const revokedAt = Date.now();
    expect(((await ends?.closed) ?? Number.POSITIVE_INFINITY) - revokedAt).toBeLessThan(5_000);
    expect((await call(bearer(revoked))).status).toBe(401);
    expect(ends?.isOpen).toBe(false);
    expect(goesOn?.isOpen).toBe(true);
  });

  it("A5, A31: neither it nor what the gateway shows to introspect is in anything that leaves ingress", async () => {
    const token = await opaque.issue(`${publicUrl}/mcp`);
    await spy.heard(landmark);
    expect((await call(bearer(token))).status).toBe(200);
    const overheard = (await spy.heard(landmark)).map(({ text }) => text).join("\n");
    expect(overheard).toContain("sentinel-7");
    const texts = [upstream.everything, overheard, await house.logs(), await house.stored()];
    const key = gatewayByKey.pem.split("\n")[1] ?? "";
    for (const secret of [token, gatewayClient.secret, endpointToken, key])
      for (const text of texts) expect(text.includes(secret)).toBe(false);
  });
});

describe("an API key that an endpoint validates", () => {
  it("speaks for the agent that the endpoint names; it is asked once, with the gateway's credentials", async () => {
    const key = newKey();
    const answers = await Promise.all(Array.from({ length: 10 }, () => call({ "x-keyed": key })));
    expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([200]));
    expect(identity.requests.length).toBeLessThanOrEqual(2);
    expect(identity.requests[0]).toMatchObject({
      method: "POST",
      headers: { authorization: `Bearer ${endpointToken}` },
    });
    expect(upstream.requests[0]?.headers).toMatchObject({
      "x-verified-agent-id": "keyed-1",
      "x-verified-agent-name": "Keyed",
      "x-verified-agent-owner": "ops",
    });
    expect(upstream.everything).not.toContain(key);
    expect((await call({ "x-agent-api-key": key })).status).toBe(401);
    expect((await call(bearer(key))).status).toBe(401);
  });

  it.each([
    ["404", 404, {}],
    ["200 with valid: false", 200, { valid: false, agent_id: "keyed-1" }],
    ["200 without an agent", 200, { agent_name: "x" }],
    ["200 with an agent id that is none", 200, { agent_id: "a\r\nb" }],
  ])("that it answers with %s is refused with 401", async (_name, status, answer) => {
    answerKey = (_key, response) => tell(response, status, answer);
    expect((await call({ "x-keyed": newKey() })).status).toBe(401);
    expect(upstream.requests).toEqual([]);
  });

  it("A8: that it stops to know ends its stream within 5 s", async () => {
    const stream = await openStream(publicUrl, { "x-keyed": newKey() });
    answerKey = (_key, response) => tell(response, 404, {});
    const revokedAt = Date.now();
    expect((await stream.closed) - revokedAt).toBeLessThan(5_000);
  });
});

describe("who is asked fails", () => {
  it.each(Object.entries(failures))(
    "A3: introspection, keys or validation %s: 503 within the deadline, nobody is let in, and it comes back by itself",
    async (_name, fail) => {
      const token = await opaque.issue(`${publicUrl}/mcp`);
      const key = newKey();
      opaque.outOfOrder = (_request, response) => fail(response);
      signing.outOfOrder = (_request, response) => fail(response);
      answerKey = (_key, response) => fail(response);
      // A key that was never seen makes it fetch the keys, as soon as it may again.
      const unknown = await signing.sign({ aud: `${publicUrl}/mcp` }, { kid: "as-new" });
      const answers = await Promise.all([
        call(bearer(token)),
        call({ "x-keyed": key }),
        until("the keys to be asked for", async () => {
          const answer = await call(bearer(unknown));
          return answer.status === 503 ? answer : undefined;
        }),
      ]);
      expect(answers.map(({ status }) => status)).toEqual([503, 503, 503]);
      expect(Number(answers[0].headers["retry-after"])).toBeGreaterThan(0);
      expect(upstream.requests).toEqual([]);
      opaque.outOfOrder = undefined;
      answerKey = byTable;
      await until("introspection to be back", async () => (await call(bearer(token))).status === 200);
      await until("validation to be back", async () => (await call({ "x-keyed": key })).status === 200);
    },
  );

  it("operators are told why, in words that hold nothing of the answer", async () => {
    const logs = await house.logs();
    for (const reason of [
      "it answered 500",
      "refused the gateway's own credentials (401)",
      "it answered 302",
      "too large",
      "in time",
    ])
      expect(logs).toContain(reason);
    for (const content of ["<html>", "cnry-", "SyntaxError"]) expect(logs.includes(content), content).toBe(false);
  });
});

it("after an edit the gateway asks as another client, by a key (private_key_jwt)", async () => {
  const key = { authMethod: "private_key_jwt", privateKey: "${env:GATEWAY_KEY}", keyId: "gw-1" };
  await house.configure(tenants({ clientId: gatewayByKey.id, ...key }));
  await until("the edit", async () => {
    expect((await call(bearer(await opaque.issue(`${publicUrl}/mcp`)))).status).toBe(200);
    return opaque.introspectedBy.has(gatewayByKey.id);
  });
});

describe("secrets of the methods", () => {
  it.each([
    ["a missing key", { GATEWAY_KEY: undefined }, /tenant opal.*GATEWAY_KEY.*not set/],
    ["a key that is none", { GATEWAY_KEY: "changeme" }, /tenant opal.*GATEWAY_KEY.*not a private key/],
    ["weak credentials of an endpoint", { ENDPOINT_TOKEN: "changeme" }, /tenant keyed.*ENDPOINT_TOKEN.*too weak/],
    ["missing credentials of an endpoint", { ENDPOINT_TOKEN: undefined }, /tenant keyed.*ENDPOINT_TOKEN.*not set/],
    ["no PUBLIC_URL, and so no audience", { PUBLIC_URL: undefined }, /tenant signed.*set PUBLIC_URL/],
  ])("A4: %s keeps ingress from starting; it says whose and not what", async (_what, change, expected) => {
    const own = { ...env, PUBLIC_URL: publicUrl, PORT: "0", UPSTREAM_NETWORKS: "127.0.0.0/8", ...change };
    const { code, output } = await runService({ house, service: "ingress", env: own });
    expect(output).toMatch(expected);
    expect(output).not.toContain("changeme");
    expect(code).toBe(2);
  });
});
