import { copyFile, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  answerEcho,
  answerJson,
  FakeUpstream,
  startTestHouse,
  TestAuthority,
  until,
  type TestHouse,
} from "@sluice/testing";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { as, send, toolCall } from "./http.ts";
import { startModernServer } from "./modern-server.ts";
import { legacyClient } from "./official-clients.ts";
import { startOldSseServer } from "./old-sse-server.ts";

const stack = new AsyncDisposableStack();
const dayMs = 86_400_000;
let dir: string;
let house: TestHouse;
let upstream: FakeUpstream;
let tokens: FakeUpstream;
let servers: TestAuthority;
let gateways: TestAuthority;
let tenants: Record<string, { agents: string[]; [field: string]: unknown }>;

const file = (name: string) => join(dir, name);
const reference = (name: string) => `\${file:${file(name)}}`;
const here = { sans: [{ type: "ip", value: "127.0.0.1" }], usage: "server" } as const;
const withName = (value: string) => ({ sans: [{ type: "dns", value }], usage: "server" }) as const;
const faultOf = (text: string) =>
  (JSON.parse(text) as { error: { data: { error: string; message: string } } }).error.data;

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), "sluice-upstream-tls-"));
  stack.defer(() => rm(dir, { recursive: true, force: true }));
  servers = await TestAuthority.create("Servers");
  gateways = await TestAuthority.create("Gateways");
  const strangers = await TestAuthority.create("Strangers");
  await writeFile(file("servers.pem"), servers.cert);
  await gateways.issueFiles(dir, "gateway", { commonName: "gateway", usage: "client" });
  await strangers.issueFiles(dir, "stranger", { commonName: "gateway", usage: "client" });
  /** Demands a certificate that `gateways` issued. */
  const demanding = async (wanted: Parameters<TestAuthority["issue"]>[0]) => {
    const { cert, key } = await servers.issue(wanted);
    return { cert, key, ca: gateways.cert, requestCert: true };
  };
  upstream = stack.use(await FakeUpstream.start(answerEcho, await demanding(here)));
  const elsewhere = stack.use(await FakeUpstream.start(answerEcho, await demanding(withName("tools.internal"))));
  const past = { notBefore: new Date(Date.now() - 2 * dayMs), notAfter: new Date(Date.now() - dayMs) };
  const expired = stack.use(await FakeUpstream.start(answerEcho, await demanding({ ...here, ...past })));
  const modern = stack.use(await startModernServer(await demanding(here)));
  const old = stack.use(await startOldSseServer(await demanding(here)));
  tokens = stack.use(
    await FakeUpstream.start(
      (_request, response) => {
        answerJson(response, { access_token: "token-1", token_type: "bearer", expires_in: 3_600 });
      },
      await demanding(here),
    ),
  );
  const ca = reference("servers.pem");
  const own = { cert: reference("gateway.pem"), key: reference("gateway-key.pem") };
  const tls = { ca, ...own };
  const { url } = upstream;
  const endpoints = [
    { name: "good", url, tls },
    { name: "inline", url, tls: { ...tls, ca: servers.cert } },
    { name: "none", url, tls: { ca } },
    { name: "stranger", url, tls: { ca, cert: reference("stranger.pem"), key: reference("stranger-key.pem") } },
    { name: "system", url, tls: own },
    { name: "plain", url },
    { name: "elsewhere", url: elsewhere.url, tls },
    { name: "named", url: elsewhere.url, tls: { ...tls, serverName: "tools.internal" } },
    { name: "misnamed", url, tls: { ...tls, serverName: "tools.internal" } },
    { name: "expired", url: expired.url, tls },
    {
      name: "oauth",
      url,
      tls,
      credentials: {
        ...{ type: "oauth2ClientCredentials", tokenUrl: tokens.url, clientId: "sluice", tls },
        clientSecret: "${env:CLIENT_SECRET}",
      },
    },
  ];
  const rules = { accessRules: [{ agentPattern: "*", allowedTools: ["*"] }] };
  const official = [
    { name: "modern", url: modern.url, tls },
    { name: "ancient", url: old.url, era: "sse", tls },
  ];
  tenants = {
    acme: {
      agents: ["a-1"],
      mcp: { endpoints: endpoints.map((one) => ({ era: "legacy", listCacheSeconds: 0, ...one })) },
      ...rules,
    },
    beta: { agents: ["b-1"], mcp: { endpoints: official }, ...rules },
  };
  house = stack.use(
    await startTestHouse({
      tenants,
      env: { CLIENT_SECRET: "cnry-client-hN4wq8Zr2Lx7Vb5Tk9Ym3Pd6" },
      envOf: { egress: { EGRESS_BREAKER_FAILURES: "0" } },
    }),
  );
});
afterAll(() => stack.disposeAsync());
beforeEach(() => void upstream.requests.splice(0));

const call = (server: string) =>
  send(`${house.house.url}/mcp/${server}`, {
    headers: as(house.key("a-1", "acme"), { "mcp-protocol-version": "2025-06-18" }),
    body: toolCall("echo"),
  });

describe("an upstream that demands a client certificate", () => {
  it("gets the endpoint's, and is verified by the endpoint's own authority and name", async () => {
    for (const server of ["good", "inline", "named"]) expect((await call(server)).status, server).toBe(200);
    expect(upstream.requests.every(({ certificate }) => certificate !== undefined)).toBe(true);
  });

  it("A40: bad TLS of either side ends in a 502 that says which, and reaches nobody", async () => {
    for (const [server, reason] of [
      ["none", /CERTIFICATE_REQUIRED|ECONNRESET|UND_ERR_SOCKET/],
      ["stranger", /ALERT_UNKNOWN_CA|ECONNRESET|UND_ERR_SOCKET/],
      ["system", /UNABLE_TO_VERIFY_LEAF_SIGNATURE/],
      ["plain", /UNABLE_TO_VERIFY_LEAF_SIGNATURE/],
      ["elsewhere", /ERR_TLS_CERT_ALTNAME_INVALID/],
      ["misnamed", /ERR_TLS_CERT_ALTNAME_INVALID/],
      ["expired", /CERT_HAS_EXPIRED/],
    ] as const) {
      const answer = await call(server);
      expect(answer.status, server).toBe(502);
      expect(faultOf(answer.text).message, server).toMatch(reason);
    }
    expect(upstream.requests).toEqual([]);
    expect((await call("good")).status).toBe(200);
  });

  it("is reached mediated, over the old transport, and together with others at the shared address", async () => {
    await using client = await legacyClient(`${house.house.url}/mcp`, house.key("b-1", "beta"));
    const names = (await client.listTools()).tools.map(({ name }) => name);
    expect(names).toEqual(expect.arrayContaining(["shout", "old_shout"]));
    expect(await client.callTool("shout", { text: "over tls" })).toBe("OVER TLS");
    expect(await client.callTool("old_shout", { text: "over tls" })).toBe("OVER TLS");
  });

  it("may be an authorization server", async () => {
    expect((await call("oauth")).status).toBe(200);
    expect(upstream.requests.at(-1)?.headers.authorization).toBe("Bearer token-1");
    expect(tokens.requests.map(({ certificate }) => certificate)).toEqual([expect.any(String)]);
  });

  it("gets a renewed certificate with the next connection, and the one before while the new pair can't be used", async () => {
    const shown = async () => {
      upstream.disconnectAll();
      expect((await call("good")).status).toBe(200);
      return upstream.requests.at(-1)?.certificate;
    };
    const before = await shown();
    const next = await gateways.issueFiles(dir, "next", { commonName: "gateway", usage: "client" });
    await copyFile(next.certFile, file("gateway.pem"));
    await until("the mismatch is told", async () => (await house.logs()).includes("tls: key does not belong"));
    expect(await shown()).toBe(before);
    await copyFile(next.keyFile, file("gateway-key.pem"));
    await until("the renewed certificate is shown", async () => (await shown()) !== before);
  });
});

describe("TLS of an endpoint in tenants.yaml", () => {
  it("is refused with its place where it can't be meant", async () => {
    const status = async () => {
      const headers = { authorization: `Bearer ${house.house.adminToken}` };
      const answer = await send(`${house.house.adminUrl}/v1/status`, { method: "GET", headers });
      return answer.text;
    };
    const ca = reference("servers.pem");
    for (const [endpoint, reason] of [
      [{ url: "http://127.0.0.1:1/mcp", tls: { ca } }, /endpoints\.0\.tls.*https/],
      [{ url: "https://127.0.0.1:1/mcp", tls: { cert: ca } }, /tls\.key.*is missing/],
      [{ url: "https://127.0.0.1:1/mcp", tls: { ca: "/etc/ca.pem" } }, /tls\.ca.*must be a reference/],
      [{ url: "https://127.0.0.1:1/mcp", tls: { rejectUnauthorized: false } }, /rejectUnauthorized/],
    ] as const) {
      await house.configure({
        acme: { ...tenants["acme"], agents: ["a-1"], mcp: { endpoints: [{ name: "main", ...endpoint }] } },
      });
      await until(`the refusal ${reason.source}`, async () => reason.test(await status()));
    }
  });

  it("A31: leaves no key in a log", async () => {
    const logs = await house.logs();
    expect(logs).not.toContain("PRIVATE KEY");
  });
});
