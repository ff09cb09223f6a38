import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createVerifier } from "@sluice/signing";
import { answerEcho, answerJson, FakeUpstream, startTestHouse, until, type TestHouse } from "@sluice/testing";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { AuthorizationServer, clientCredentials as secrets } from "./authorization-server.ts";
import { BusSpy } from "./bus-spy.ts";
import { as, json, send, toolCall, type Answer } from "./http.ts";
import { runService } from "./service-run.ts";

const staticToken = "cnry-static-Zr2Lx7Vb5Tk9Ym3Pd6Jc1Fs0Ga";
const signingSecret = "cnry-signing-hN4wq8Zr2Lx7Vb5Tk9Ym3Pd6";
const env = {
  STATIC_TOKEN: staticToken,
  SIGNING_SECRET: signingSecret,
  BASIC_SECRET: secrets.basic,
  POST_SECRET: secrets.post,
  SHORT_SECRET: secrets.short,
  RSA_KEY: secrets.rsaPem,
  ED_KEY: secrets.edPem,
};

const local = { UPSTREAM_NETWORKS: "127.0.0.0/8" };

let dir: string;
let authorization: AuthorizationServer;
let upstream: FakeUpstream;
/** Stands in for authorization servers that don't do what they should. */
let broken: FakeUpstream;
let collector: FakeUpstream;
let house: TestHouse;
let spy: BusSpy;
const answers: Answer[] = [];

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), "sluice-credentials-"));
  await writeFile(join(dir, "ec.jwk"), secrets.ecJwk);
  authorization = await AuthorizationServer.start();
  upstream = await FakeUpstream.start(async (request, response) => {
    const token = /^Bearer (\S+)$/.exec(request.headers.authorization ?? "")?.[1];
    const opaque = token !== undefined && token !== staticToken && !token.includes(".");
    if (opaque && (await authorization.holder(token)) === undefined)
      response.writeHead(401, { "www-authenticate": `Bearer error="invalid_token", secret="${token}"` }).end(token);
    else answerEcho(request, response);
  });
  broken = await FakeUpstream.start(({ url }, response) => {
    const kind = /broken\/([a-z-]+)/.exec(url)?.[1];
    if (kind === "error") response.writeHead(500).end(secrets.basic);
    else if (kind === "garbage") response.writeHead(200, { "content-type": "application/json" }).end(secrets.basic);
    else if (kind === "echo-code")
      response.writeHead(400, { "content-type": "application/json" }).end(JSON.stringify({ error: secrets.basic }));
    else if (kind === "redirect") response.writeHead(307, { location: authorization.tokenUrl }).end();
    else if (kind === "crlf") answerJson(response, { access_token: "a\r\nb: c", token_type: "bearer" });
    else if (kind === "mac") answerJson(response, { access_token: "a", token_type: "mac" });
    else if (kind === "endless") {
      response.writeHead(200, { "content-type": "application/json" });
      const chunk = Buffer.alloc(64 * 1024, " ");
      const pour = () => {
        while (!response.destroyed && response.write(chunk));
      };
      response.on("drain", pour);
      pour();
    } else if (url === "/.well-known/oauth-authorization-server")
      // The configuration has it without the slash.
      answerJson(response, { issuer: `http://127.0.0.1:${broken.port}/`, token_endpoint: authorization.tokenUrl });
    else if (kind === "issuer")
      answerJson(response, { issuer: authorization.issuer, token_endpoint: authorization.tokenUrl });
    // "hang": nothing.
  });
  collector = await FakeUpstream.start((_request, response) => answerJson(response, {}));
  const traced = { OTEL_EXPORTER_OTLP_ENDPOINT: `http://127.0.0.1:${collector.port}`, OTEL_BSP_SCHEDULE_DELAY: "100" };
  house = await startTestHouse({ env: { ...env, ...traced, LOG_LEVEL: "trace" }, tenants: tenants() });
  spy = await BusSpy.open(house);
});
afterAll(async () => {
  await spy?.[Symbol.asyncDispose]();
  await house?.[Symbol.asyncDispose]();
  await upstream?.[Symbol.asyncDispose]();
  await collector?.[Symbol.asyncDispose]();
  await broken?.[Symbol.asyncDispose]();
  await authorization?.[Symbol.asyncDispose]();
  await rm(dir, { recursive: true, force: true });
});

const brokenKinds = ["error", "garbage", "echo-code", "redirect", "crlf", "mac", "endless"];

function tenants(changes: object = {}) {
  const { issuer, tokenUrl } = authorization;
  const client = (more: object) => ({ type: "oauth2ClientCredentials", ...more });
  const byKey = { authMethod: "private_key_jwt" };
  const basic = { clientId: "c:basic", clientSecret: "${env:BASIC_SECRET}" };
  const credentials: Record<string, object> = {
    static: { type: "header", headerName: "Authorization", prefix: "Bearer", value: "${env:STATIC_TOKEN}" },
    named: { type: "header", headerName: "X-Upstream-Key", value: "${env:STATIC_TOKEN}" },
    basic: client({ issuer, ...basic, scopes: ["tools"] }),
    post: client({ tokenUrl, clientId: "post", clientSecret: "${env:POST_SECRET}", authMethod: "client_secret_post" }),
    rsa: client({
      issuer,
      clientId: "rsa",
      ...byKey,
      privateKey: "${env:RSA_KEY}",
      algorithm: "PS256",
      keyId: "rsa-1",
    }),
    ec: client({ tokenUrl, clientId: "ec", ...byKey, privateKey: `\${file:${dir}/ec.jwk}` }),
    ed: client({ tokenUrl, issuer, clientId: "ed", ...byKey, privateKey: "${env:ED_KEY}" }),
    resource: client({ issuer, ...basic, resource: "https://tools.example.com/mcp" }),
    large: client({ issuer, clientId: "post", clientSecret: "${env:POST_SECRET}", authMethod: "client_secret_post" }),
    burst: client({ tokenUrl, ...basic, scopes: ["other"] }),
    short: client({ issuer, clientId: "short", clientSecret: "${env:SHORT_SECRET}" }),
    wrong: client({ tokenUrl, clientId: "c:basic", clientSecret: "${env:SIGNING_SECRET}" }),
    dead: client({ tokenUrl: "http://127.0.0.1:9/token", ...basic }),
    hang: client({ tokenUrl: `${broken.url}/broken/hang`, ...basic }),
    slash: client({ issuer: `http://127.0.0.1:${broken.port}`, ...basic }),
    issuer: client({ issuer: `${broken.url}/broken/issuer`, ...basic }),
    ...Object.fromEntries(
      brokenKinds.map((kind) => [kind, client({ tokenUrl: `${broken.url}/broken/${kind}`, ...basic })]),
    ),
    ...changes,
  };
  const endpoints = Object.entries(credentials).map(([name, given]) => ({
    name,
    url: `${upstream.url}?${name}`,
    credentials: given,
    ...(["basic", "large"].includes(name) && {
      signing: { keyId: "k-1", secret: "${env:SIGNING_SECRET}", mode: "strict" },
    }),
  }));
  const tenant = {
    agents: ["a-1"],
    mcp: { endpoints: [{ name: "open", url: upstream.url, forwardHeaders: ["x-upstream-key"] }, ...endpoints] },
    accessRules: [{ agentPattern: "*", allowedTools: ["*"] }],
  };
  return { acme: tenant, globex: { ...tenant, mcp: { endpoints: endpoints.filter(({ name }) => name === "burst") } } };
}

async function call(
  server: string,
  { tool = "echo", tenant = "acme", headers = {}, padding = "" } = {},
): Promise<Answer> {
  const answer = await send(`${house.house.url}/mcp/${server}`, {
    headers: as(house.key("a-1", tenant), headers),
    body: toolCall(tool, { from: server, padding }),
  });
  answers.push(answer);
  return answer;
}

const received = (server: string) => upstream.requests.filter(({ url }) => url.endsWith(`?${server}`));
const shown = (server: string) => received(server).map(({ headers }) => headers.authorization ?? "");
const lastToken = (server: string) => shown(server).at(-1)?.slice("Bearer ".length) ?? "";
const message = (answer: Answer) => (JSON.parse(answer.text) as { error: { message: string } }).error.message;

describe("what the gateway shows to an upstream", () => {
  it("a header field by secret reference, in place of whatever the agent sends under that name", async () => {
    const headers = { authorization: `Bearer ${house.key("a-1")}`, "x-upstream-key": "forged" };
    expect((await call("static", { headers })).status).toBe(200);
    expect(shown("static")).toEqual([`Bearer ${staticToken}`]);
    expect((await call("named", { headers })).status).toBe(200);
    expect(received("named")[0]?.headers).toMatchObject({ "x-upstream-key": staticToken });
    expect(received("named")[0]?.headers.authorization).toBe(undefined);
  });

  it.each([
    ["client_secret_basic at a discovered endpoint", "basic", "c:basic", "tools"],
    ["client_secret_post", "post", "post", undefined],
    ["private_key_jwt with RSA, discovered", "rsa", "rsa", undefined],
    ["private_key_jwt with a JWK, the token endpoint as audience", "ec", "ec", undefined],
    ["private_key_jwt with Ed25519, the issuer as audience", "ed", "ed", undefined],
  ])("a token of its own, by %s", async (_how, server, client, scope) => {
    expect((await call(server)).status).toBe(200);
    expect(await authorization.holder(lastToken(server))).toEqual({ client, scope });
  });

  it("a token for the resource that the endpoint names (RFC 8707)", async () => {
    expect((await call("resource")).status).toBe(200);
    const [, claims = ""] = lastToken("resource").split(".");
    expect(JSON.parse(Buffer.from(claims, "base64url").toString())).toMatchObject({
      aud: "https://tools.example.com/mcp",
      client_id: "c:basic",
    });
  });

  it.each([
    ["", "basic"],
    [", also of a body that waits in pieces for the token", "large"],
  ])("a signature beside a token, where both are configured%s", async (_what, server) => {
    const padding = server === "large" ? "x".repeat(1024 * 1024) : "";
    expect((await call(server, { padding })).status).toBe(200);
    const { headers, method, body } = received(server)[0]!;
    const verifier = createVerifier({ mode: "strict", keyId: "k-1", secret: signingSecret });
    const signed = { method, path: "/mcp", query: server, body };
    expect(await verifier.verify(signed, headers as never)).toMatchObject({ ok: true });
    expect(headers.authorization).toMatch(/^Bearer /);
    expect(body.length).toBeGreaterThan(padding.length);
  });
});

describe("the token", () => {
  it("is asked for once however many calls need it, per tenant and endpoint", async () => {
    const before = authorization.grantedTo("c:basic").length;
    const calls = Array.from({ length: 50 }, () => call("burst"));
    expect((await Promise.all(calls)).map(({ status }) => status)).toEqual(calls.map(() => 200));
    expect(new Set(shown("burst")).size).toBe(1);
    expect(authorization.grantedTo("c:basic")).toHaveLength(before + 1);
    expect((await call("burst", { tenant: "globex" })).status).toBe(200);
    expect(authorization.grantedTo("c:basic")).toHaveLength(before + 2);
    expect(new Set(shown("burst")).size).toBe(2);
  });

  it("is replaced before it expires: no call meets the end of one", async () => {
    const tokens = await until("three tokens", async () => {
      expect((await call("short")).status).toBe(200);
      const seen = new Set(shown("short"));
      return seen.size >= 3 ? seen : undefined;
    });
    expect(authorization.grantedTo("short").length).toBeLessThanOrEqual(tokens.size + 1);
  });

  it("is dropped when the upstream refuses it: that call fails, once, and the next has a new one", async () => {
    const old = lastToken("post");
    await authorization.revoke(old);
    const sent = received("post").length;
    const refused = await call("post");
    expect(refused.status).toBe(502);
    expect(message(refused)).toBe("the server 'post' refuses the gateway's credentials");
    expect(refused.headers["www-authenticate"]).toBe(undefined);
    expect(received("post")).toHaveLength(sent + 1);
    expect((await call("post")).status).toBe(200);
    expect(lastToken("post")).not.toBe(old);
  });

  it("outlives an edit of the configuration that leaves its credentials alone", async () => {
    const kept = lastToken("rsa");
    const granted = authorization.grantedTo("rsa").length;
    await house.configure(tenants({ added: { type: "header", headerName: "x-key", value: "${env:STATIC_TOKEN}" } }));
    await until("the edit", async () => (await call("added")).status === 200);
    await call("rsa");
    expect(lastToken("rsa")).toBe(kept);
    expect(authorization.grantedTo("rsa")).toHaveLength(granted);
  });
});

describe("an authorization server that fails", () => {
  it.each([...brokenKinds, "wrong", "dead", "issuer", "slash"])(
    "%s: 502 that names the server alone; the upstream is not called, and it is asked once for fifty calls",
    async (server) => {
      const asked = broken.requests.length;
      const failed = await Promise.all(Array.from({ length: 50 }, () => call(server)));
      expect(new Set(failed.map(({ status }) => status))).toEqual(new Set([502]));
      expect(new Set(failed.map(message))).toEqual(
        new Set([`the gateway has no valid credentials for the server '${server}' at the moment`]),
      );
      expect(received(server)).toEqual([]);
      expect(broken.requests.length - asked).toBeLessThanOrEqual(3);
      expect((await call("open")).status).toBe(200);
    },
  );

  it("one that hangs ends in a 502 too, while others go on", async () => {
    const hanging = Promise.all([call("hang"), call("hang"), call("hang")]);
    const asked = () => broken.requests.filter(({ url }) => url.endsWith("/hang"));
    await until("the token request", () => asked().length > 0);
    expect((await call("open")).status).toBe(200);
    expect((await call("static")).status).toBe(200);
    expect((await hanging).map(({ status }) => status)).toEqual([502, 502, 502]);
    expect(asked()).toHaveLength(1);
  });

  it("a large body that no token comes for ends in a 502", async () => {
    expect((await call("dead", { padding: "x".repeat(1024 * 1024) })).status).toBe(502);
    expect((await call("wrong", { padding: "x".repeat(1024 * 1024) })).status).toBe(502);
  });

  it("operators are told why, in words that hold nothing of the answer", async () => {
    const logs = await house.logs();
    for (const reason of [
      "it answered 500",
      "it answered 400",
      "it answered 307",
      "too large",
      "another type",
      "in time",
    ])
      expect(logs, reason).toMatch(new RegExp(`no token from its authorization server: .*${reason}`));
    expect(logs).toMatch(/endpoint wrong: .*it answered 401 invalid_client/);
    expect(logs).toMatch(/endpoint dead: .*ECONNREFUSED/);
    expect(logs).toMatch(/endpoint issuer: .*another issuer/);
    expect(logs).toMatch(/endpoint slash: .*another issuer/);
  });
});

describe("secrets of credentials", () => {
  it.each([
    ["a weak client secret", { BASIC_SECRET: "changeme" }, /endpoint basic: \$\{env:BASIC_SECRET\}: is too weak/],
    ["a missing client secret", { BASIC_SECRET: undefined }, /endpoint basic: \$\{env:BASIC_SECRET\}: .*not set/],
    ["a weak header value", { STATIC_TOKEN: "password" }, /endpoint static: \$\{env:STATIC_TOKEN\}: is too weak/],
    ["a header value with a line break", { STATIC_TOKEN: `${staticToken}\nx: y` }, /endpoint static: .*line break/],
    ["a key that is none", { RSA_KEY: signingSecret }, /endpoint rsa: \$\{env:RSA_KEY\}: is not a private key/],
  ])("A4: %s keeps egress from starting; it says whose and not what", async (_what, change, expected) => {
    const { code, output } = await runService({ house, service: "egress", env: { ...env, ...local, ...change } });
    expect(output).toMatch(expected);
    for (const value of Object.values(change)) if (value !== undefined) expect(output).not.toContain(value);
    expect(code).toBe(2);
  });

  it("a token URL in clear to another machine closes the endpoint", async () => {
    const clientId = "c";
    const clientSecret = "${env:BASIC_SECRET}";
    const tokenUrl = "http://93.184.215.14/token";
    await house.configure(tenants({ clear: { type: "oauth2ClientCredentials", tokenUrl, clientId, clientSecret } }));
    await until("the edit", async () => (await call("clear")).status === 502);
    await until("the reason", async () =>
      /endpoint clear: 93\.184\.215\.14 is a public address/.test(await house.logs()),
    );
  });
});

describe("canaries", () => {
  it("A5: what the agent authenticates with reaches neither upstream nor authorization server", async () => {
    const key = house.key("a-1");
    await send(`${house.house.url}/mcp/basic`, {
      headers: { ...json, authorization: `Bearer ${key}` },
      body: toolCall("echo"),
    });
    expect(upstream.requests.length).toBeGreaterThan(50);
    for (const everything of [upstream.everything, broken.everything, JSON.stringify(authorization.granted)])
      expect(everything).not.toContain(key);
  });

  /** The bytes of everything that NATS keeps: streams and configuration. */
  async function storedByNats(): Promise<string> {
    const files = await readdir(join(house.dataDir, "nats"), { recursive: true, withFileTypes: true });
    const read = files
      .filter((file) => file.isFile())
      .map((file) => readFile(join(file.parentPath, file.name), "latin1"));
    return (await Promise.all(read)).join("\n");
  }

  it("A31: neither secrets nor tokens are in answers, logs, traces, the audit trail or NATS", async () => {
    const tokens = new Set(upstream.requests.map(({ headers }) => headers.authorization?.slice("Bearer ".length)));
    const keys = [secrets.rsaPem, secrets.edPem].map((pem) => pem.split("\n")[1] ?? "");
    const ecPrivate = (JSON.parse(secrets.ecJwk) as { d: string }).d;
    const canaries = [...Object.values(env), ...keys, ecPrivate, ...tokens].filter((text) => text !== undefined);
    expect(canaries.length).toBeGreaterThan(15);
    const rows = await until("the audit rows", async () => {
      const text = await house.stored();
      return text.includes("upstream_failed") ? text : undefined;
    });
    await until("spans of egress", () => collector.everything.includes("sluice-egress"));
    const overheard = await spy.heard((tool) => call("basic", { tool }));
    expect(overheard.length).toBeGreaterThan(100);
    const places = {
      "messages on the bus": overheard.map(({ text }) => text).join("\n"),
      "NATS' files": await storedByNats(),
      traces: collector.everything,
      answers: answers.map(({ everything }) => everything).join("\n"),
      logs: await house.logs(),
      "the audit trail": rows,
    };
    for (const [place, text] of Object.entries(places))
      for (const canary of canaries) expect(text.includes(canary), `${canary.slice(0, 9)}… in ${place}`).toBe(false);
  });
});
