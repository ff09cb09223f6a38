import { createPublicKey, generateKeyPairSync, randomBytes, verify, type KeyObject } from "node:crypto";
import { mkdtemp, rename, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createVerifier } from "@sluice/signing";
import {
  answerEcho,
  answerJson,
  FakeUpstream,
  FakeVault,
  startTestHouse,
  until,
  type TestHouse,
} from "@sluice/testing";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { as, send, toolCall } from "./http.ts";

const fresh = () => randomBytes(24).toString("hex");
const newKey = () => generateKeyPairSync("ec", { namedCurve: "P-256" });
const pemOf = (key: KeyObject) => key.export({ type: "pkcs8", format: "pem" }).toString();
const page = "secret/data/acme";

let house: TestHouse;
let upstream: FakeUpstream;
/** Gives tokens to whoever knows the client secret, or has the key, as it is now. */
let authorization: FakeUpstream;
let vault: FakeVault;
let dir: string;
let clientSecret = fresh();
let clientKey = newKey();
let inVault = { signing: fresh(), token: fresh(), later: undefined as string | undefined };
let refusedTokens = new Set<string>();
let granted = 0;
let refusals = 0;

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), "sluice-rotation-"));
  vault = await FakeVault.start();
  vault.put(page, inVault);
  upstream = await FakeUpstream.start((request, response) => {
    const shown = request.headers.authorization ?? "";
    if (refusedTokens.has(shown.replace("Bearer ", ""))) return void response.writeHead(401).end();
    if (request.message?.params?.["name"] !== "stream") return answerEcho(request, response);
    response.writeHead(200, { "content-type": "text/event-stream" }).write(": open\n\n");
    streams.push(() => {
      const result = { content: [{ type: "text", text: "unbroken" }] };
      response.end(`data: ${JSON.stringify({ jsonrpc: "2.0", id: request.message?.id, result })}\n\n`);
    });
  });
  authorization = await FakeUpstream.start(({ headers, body }, response) => {
    const basic = `Basic ${Buffer.from(`c:${encodeURIComponent(clientSecret)}`).toString("base64")}`;
    const assertion = new URLSearchParams(body.toString()).get("client_assertion");
    if (assertion === null ? headers.authorization !== basic : !isSigned(assertion)) {
      refusals++;
      return void response
        .writeHead(401, { "content-type": "application/json" })
        .end(JSON.stringify({ error: "invalid_client" }));
    }
    answerJson(response, { access_token: `token-${++granted}`, token_type: "Bearer", expires_in: 3600 });
  });
  await Promise.all(["signing", "header"].map((name) => put(name, fresh())));
  await put("client", clientSecret);
  await put("key", pemOf(clientKey.privateKey));
  const env = { VAULT_ADDR: vault.url, VAULT_TOKEN: vault.rootToken, VAULT_REFRESH_SECONDS: "3600" };
  house = await startTestHouse({ env, tenants: tenants() });
});
afterAll(async () => {
  await house?.[Symbol.asyncDispose]();
  for (const server of [upstream, authorization, vault]) await server?.[Symbol.asyncDispose]();
  await rm(dir, { recursive: true, force: true });
});

const streams: (() => void)[] = [];

function isSigned(assertion: string): boolean {
  const [head = "", claims = "", signature = ""] = assertion.split(".");
  const key = { key: createPublicKey(clientKey.privateKey), dsaEncoding: "ieee-p1363" as const };
  return verify("sha256", Buffer.from(`${head}.${claims}`), key, Buffer.from(signature, "base64url"));
}

/** Replaces a file of secrets in one step, as whoever writes them should. */
async function put(name: string, text: string): Promise<string> {
  await writeFile(join(dir, `${name}.new`), text);
  await rename(join(dir, `${name}.new`), join(dir, name));
  return text;
}

function tenants(more: Record<string, object> = {}) {
  const file = (name: string) => `\${file:${dir}/${name}}`;
  const bearer = { type: "header", headerName: "Authorization", prefix: "Bearer" };
  const client = {
    type: "oauth2ClientCredentials",
    clientId: "c",
    tokenUrl: `http://127.0.0.1:${authorization.port}/`,
  };
  const endpoints: Record<string, object> = {
    "signed-file": { signing: { keyId: "k", secret: file("signing"), mode: "strict" } },
    "signed-vault": { signing: { keyId: "k", secret: `\${vault:${page}#signing}`, mode: "strict" } },
    "header-file": { credentials: { ...bearer, value: file("header") } },
    "header-vault": { credentials: { ...bearer, value: `\${vault:${page}#token}` } },
    "oauth-secret": { credentials: { ...client, clientSecret: file("client") } },
    "oauth-key": { credentials: { ...client, authMethod: "private_key_jwt", privateKey: file("key") } },
    ...more,
  };
  const all = Object.entries(endpoints).map(([name, rest]) => ({ name, url: `${upstream.url}?${name}`, ...rest }));
  return {
    acme: {
      agents: ["a-1"],
      mcp: { endpoints: all },
      accessRules: [{ agentPattern: "*", allowedTools: ["*"] }],
    },
  };
}

const call = (server: string, tool = "echo") =>
  send(`${house.house.url}/mcp/${server}`, { headers: as(house.key("a-1")), body: toolCall(tool) });
/** What the upstream was shown by one more call. */
async function shownBy(server: string) {
  const { status } = await call(server);
  const { headers, method, body } = upstream.requests.findLast(({ url }) => url.endsWith(`?${server}`))!;
  const isSignedWith = async (secret: string) => {
    const signed = { method, path: "/mcp", query: server, body };
    return (await createVerifier({ mode: "strict", keyId: "k", secret }).verify(signed, headers as never)).ok;
  };
  return { status, bearer: headers.authorization?.slice("Bearer ".length), isSignedWith };
}
const metric = async (service: string, name: string) => {
  const texts = await Promise.all(
    house.house
      .of(service as never)
      .map(async ({ health }) => (await send(`${health}/metrics`, { method: "GET" })).text),
  );
  return texts.flatMap((text) => text.split("\n")).filter((line) => line.startsWith(name));
};
const problems = async () => {
  const headers = { authorization: `Bearer ${house.house.adminToken}` };
  const { text } = await send(`${house.house.adminUrl}/v1/status`, { method: "GET", headers });
  return (JSON.parse(text) as { problems: { service: string; problem: string }[] }).problems;
};

describe("a changed secret is used without a restart", () => {
  it("for signatures and header fields from files, by the next calls; a stream under way goes on", async () => {
    const streaming = call("signed-file", "stream");
    await until("the stream", () => streams.length === 1);
    const [signing, header] = [await put("signing", fresh()), await put("header", fresh())];
    await until("the new signature", async () => {
      const { status, isSignedWith } = await shownBy("signed-file");
      expect(status).toBe(200);
      return await isSignedWith(signing);
    });
    await until("the new header field", async () => (await shownBy("header-file")).bearer === header);
    streams[0]!();
    expect((await streaming).text).toContain("unbroken");
  });

  it("from Vault as soon as the upstream answers 401 to the old one, long before Vault is asked by itself", async () => {
    const [oldToken, reads] = [inVault.token, vault.count("GET", page)];
    expect((await shownBy("header-vault")).bearer).toBe(oldToken);
    inVault = { ...inVault, signing: fresh(), token: fresh() };
    vault.put(page, inVault);
    refusedTokens = new Set([oldToken]);
    expect((await call("header-vault")).status).toBe(502);
    await until("the new token", async () => (await shownBy("header-vault")).status === 200);
    expect((await shownBy("header-vault")).bearer).toBe(inVault.token);
    expect(await (await shownBy("signed-vault")).isSignedWith(inVault.signing)).toBe(true);
    expect(vault.count("GET", page)).toBe(reads + 1);
  });

  it("for OAuth2 by the next token that is needed: one that is good stays in use", async () => {
    const before = [(await shownBy("oauth-secret")).bearer, (await shownBy("oauth-key")).bearer];
    expect(before.every((token) => token?.startsWith("token-"))).toBe(true);
    clientSecret = fresh();
    clientKey = newKey();
    await put("client", clientSecret);
    await put("key", pemOf(clientKey.privateKey));
    const seen = async (name: string) =>
      (await house.logs()).match(new RegExp(`"reference":"[^"]*/${name}\\}"[^\n]*the secret has changed`)) !== null;
    await until("both changes", async () => (await seen("client")) && (await seen("key")));
    expect([(await shownBy("oauth-secret")).bearer, (await shownBy("oauth-key")).bearer]).toEqual(before);
    refusedTokens = new Set(before.map(String));
    for (const server of ["oauth-secret", "oauth-key"]) {
      expect((await call(server)).status).toBe(502);
      expect((await shownBy(server)).status).toBe(200);
    }
    expect(refusals).toBe(0);
  });

  it("and stays while the file is missing or what is in it is too weak, which log, metric and admin API say", async () => {
    const file = `\${file:${dir}/header}`;
    const { bearer } = await shownBy("header-file");
    await rm(join(dir, "header"));
    await until("the absence", async () => (await problems()).some(({ problem }) => problem.startsWith(file)));
    expect((await metric("egress", "sluice_secret_unreadable")).join()).toContain(`reference="${file}",usable="true"`);
    expect(await shownBy("header-file")).toMatchObject({ status: 200, bearer });
    await put("header", "changeme");
    const weak = `tenant acme, endpoint header-file: ${file}: is too weak: it is a well-known default`;
    await until("the weakness", async () => (await problems()).some(({ problem }) => problem.startsWith(weak)));
    expect(await metric("egress", "sluice_secret_unreadable{")).toEqual([]);
    expect(await shownBy("header-file")).toMatchObject({ status: 200, bearer });
    const strong = await put("header", fresh());
    await until("the good one", async () => (await shownBy("header-file")).bearer === strong);
    await until("no problem", async () => (await problems()).length === 0);
    expect(await house.logs()).toContain(weak);
  });
});

describe("A4: a secret that is missing or weak", () => {
  const added = {
    "no-variable": { signing: { keyId: "k", secret: "${env:NOT_SET}" } },
    "no-file": { signing: { keyId: "k", secret: "${file:/nowhere/secret}" } },
    "no-key": { signing: { keyId: "k", secret: `\${vault:${page}#none}` } },
    "no-path": { signing: { keyId: "k", secret: "${vault:secret/acme#signing}" } },
    weak: { signing: { keyId: "k", secret: "${vault:secret/data/weak#it}" } },
    late: { credentials: { type: "header", headerName: "x-key", value: `\${vault:${page}#later}` } },
  };

  it("A4: closes its endpoint alone after an edit; log, metric and admin API name both; it opens when the secret comes", async () => {
    vault.put("secret/data/weak", { it: "password" });
    await house.configure(tenants(added));
    const expected = [
      "endpoint no-variable: ${env:NOT_SET}: the environment variable is not set",
      "endpoint no-file: ${file:/nowhere/secret}: there is no such file",
      `endpoint no-key: \${vault:${page}#none}: what is at this path has no such key`,
      "endpoint no-path: ${vault:secret/acme#signing}: there is nothing at this path (404)",
      "endpoint weak: ${vault:secret/data/weak#it}: is too weak: it is a well-known default",
      `endpoint late: \${vault:${page}#later}: what is at this path has no such key`,
    ];
    const told = await until("the problems", async () => {
      const all = (await problems()).map(({ problem }) => problem);
      const isTold = (one: string) => all.some((problem) => problem.startsWith(`tenant acme, ${one}`));
      return expected.every(isTold) ? all : undefined;
    });
    for (const secret of [inVault.signing, inVault.token]) expect(told.join()).not.toContain(secret);
    const logs = await house.logs();
    for (const one of expected) expect(logs).toContain(one.replaceAll('"', '\\"'));
    for (const server of Object.keys(added)) {
      const refused = await call(server);
      expect([server, refused.status]).toEqual([server, 502]);
      expect(refused.text).not.toMatch(/NOT_SET|nowhere|vault|weak:/);
    }
    expect(await metric("egress", "sluice_upstream_closed{")).toHaveLength(6);
    expect((await call("signed-file")).status).toBe(200);
    inVault = { ...inVault, later: fresh() };
    vault.put(page, inVault);
    await until("the late one", async () => (await call("late")).status === 200);
  });

  it("A4: Vault that is away when egress starts closes what needs it, and nothing else, until it is back", async () => {
    await house.configure(tenants());
    await until("the endpoints", async () => (await call("late")).status === 404);
    vault.sealed = true;
    for (const replica of house.house.of("egress")) {
      replica.endedOnPurpose = true;
      await replica.process.stop();
    }
    await house.house.add("egress");
    await until("egress", async () => (await call("signed-file")).status === 200);
    expect((await call("header-vault")).status).toBe(502);
    const sealed = "tenant acme, endpoint header-vault: ${vault:secret/data/acme#token}: Vault is sealed";
    await until("the seal", async () => (await problems()).some(({ problem }) => problem.startsWith(sealed)));
    vault.sealed = false;
    await until("Vault", async () => (await call("header-vault")).status === 200);
  });
});
