import { execFile } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { answerEcho, answerJson, FakeUpstream, until, type ReceivedRequest } from "@sluice/testing";
import { describe, expect, it, onTestFinished } from "vitest";
import { startEverything } from "./everything.ts";
import { send } from "./http.ts";
import { startModernServer } from "./modern-server.ts";
import { legacyClient, modernClient } from "./official-clients.ts";
import { apiKey, apiSecret, environment, isSigned, sluice, startProxy, type ProxyRun } from "./proxy-run.ts";

const run = promisify(execFile);
const json = { "content-type": "application/json" };
const listening = { accept: "text/event-stream" };

async function withUpstream(env: Record<string, string> = {}, path = "/mcp") {
  const upstream = await FakeUpstream.start();
  onTestFinished(() => upstream[Symbol.asyncDispose]());
  const proxy = await startProxy(`http://127.0.0.1:${upstream.port}${path}`, env);
  onTestFinished(() => proxy[Symbol.asyncDispose]());
  return { upstream, proxy };
}

const call = (id: number, args: object = {}) =>
  JSON.stringify({ jsonrpc: "2.0", id, method: "tools/call", params: { name: "echo", arguments: args } });
const lastOf = ({ requests }: FakeUpstream) => requests.at(-1) as ReceivedRequest;

describe("the official clients", () => {
  it("of the legacy era use the official everything server through the proxy, streams included", async () => {
    await using everything = await startEverything();
    await using proxy = await startProxy(everything.url);
    await using client = await legacyClient(proxy.url);
    expect((await client.listTools()).tools.map(({ name }) => name)).toContain("echo");
    expect(await client.callTool("echo", { message: "hello" })).toContain("hello");
    const steps: number[] = [];
    await client.callTool("trigger-long-running-operation", { duration: 1, steps: 2 }, (step) => steps.push(step));
    expect(steps).toEqual([1, 2]);
  });

  it("of the modern era use a server of the modern era, streams included", async () => {
    await using modern = await startModernServer();
    await using proxy = await startProxy(modern.url);
    await using client = await modernClient(proxy.url);
    expect(await client.callTool("shout", { text: "hello" })).toBe("HELLO");
    const steps: number[] = [];
    await client.callTool("count", { to: 3 }, (step) => steps.push(step));
    expect(steps).toEqual([1, 2, 3]);
  });
});

describe("signatures", () => {
  it.each(["auth-gateway", "strict"] as const)(
    "A33: every request is signed as docs/signing.md says (%s)",
    async (mode) => {
      const { upstream, proxy } = await withUpstream({ SIGNING_MODE: mode }, "/v1/mcp?tenant=a%20b");
      const large = call(2, { text: "x".repeat(600_000) });
      await send(proxy.url, { headers: json, body: call(1) });
      await send(proxy.url, { headers: json, body: [large.slice(0, 300_000), large.slice(300_000)] });
      await send(`${proxy.url}?x=%2F1`, { method: "GET" });
      await send(`${new URL(proxy.url).origin}/api/things/1`, { method: "DELETE" });
      expect(upstream.requests.map(({ method, url }) => `${method} ${url}`)).toEqual([
        "POST /v1/mcp?tenant=a%20b",
        "POST /v1/mcp?tenant=a%20b",
        "GET /v1/mcp?tenant=a%20b&x=%2F1",
        "DELETE /api/things/1",
      ]);
      expect(upstream.requests.map((request) => isSigned(request, mode))).toEqual([true, true, true, true]);
      expect(upstream.requests[1]?.body.toString()).toBe(large);
    },
  );

  it.each([
    ["/v1/mcp/", ["/v1/mcp/", "/v1/mcp/?x=1", "/v1/mcp/more"]],
    ["/v1/mcp/?t=1", ["/v1/mcp/?t=1", "/v1/mcp/?t=1&x=1", "/v1/mcp/more"]],
    ["", ["/mcp", "/mcp?x=1", "/mcp/more"]],
  ])("/mcp stands for the endpoint %s to the letter", async (path, targets) => {
    const { upstream, proxy } = await withUpstream({}, path);
    for (const more of ["", "?x=1", "/more"]) await send(`${proxy.url}${more}`, { headers: json, body: call(1) });
    expect(upstream.requests.map(({ url }) => url)).toEqual(targets);
    expect(upstream.requests.every((request) => isSigned(request, "auth-gateway"))).toBe(true);
  });

  it("sluice verify-signature agrees, and says why not", async () => {
    const { upstream, proxy } = await withUpstream({ SIGNING_MODE: "strict" });
    await send(proxy.url, { headers: json, body: "" });
    const signed = lastOf(upstream);
    const fields = Object.entries(signed.headers)
      .filter(([name]) => name.startsWith("x-"))
      .flatMap(([name, value]) => ["-H", `${name}:${String(value)}`]);
    const verified = (target: string) =>
      run(process.execPath, [sluice, "verify-signature", "POST", target, "--mode", "strict", ...fields], {
        env: environment(upstream.url),
      });
    expect((await verified("/mcp")).stdout).toBe("signed\n");
    const dir = await mkdtemp(join(tmpdir(), "sluice-proxy-test-"));
    onTestFinished(() => rm(dir, { recursive: true, force: true }));
    await writeFile(join(dir, ".env"), `MCP_API_KEY=${apiKey}\nMCP_API_SECRET='\${file:secret}'\n`);
    await writeFile(join(dir, "secret"), apiSecret);
    const args = [sluice, "verify-signature", "POST", "/mcp", "--mode", "strict", ...fields];
    expect((await run(process.execPath, args, { cwd: dir, env: {} })).stdout).toBe("signed\n");
    await expect(verified("/mcp?more=1")).rejects.toMatchObject({
      code: 1,
      stdout: "not signed: signature_mismatch\n",
    });
  });
});

describe("what is relayed", () => {
  it("A15: signatures, identity and forwarding that a client sends, and its credentials, stay behind; what belongs to one hop too", async () => {
    const { upstream, proxy } = await withUpstream();
    await send(proxy.url, {
      headers: {
        ...json,
        "X-Signature": "mine",
        X_Signature: "mine",
        "x-api-key-id": "mine",
        "X-Verified-Agent-Id": "mine",
        "X-Forwarded-For": "mine",
        authorization: "Bearer mine",
        cookie: "mine=1",
        "Nats-Msg-Id": "mine",
        Content_Length: "mine",
        Transfer_Encoding: "mine",
        Mcp_Session_Id: "mine",
        connection: "x-hop",
        "x-hop": "mine",
        "mcp-session-id": "kept",
        "x-mine": "kept",
      },
      body: call(1),
    });
    expect(upstream.everything).not.toContain("mine=1");
    expect(Object.values(lastOf(upstream).headers)).not.toContain("mine");
    expect(lastOf(upstream).headers).toMatchObject({ "mcp-session-id": "kept", "x-mine": "kept" });
    expect(lastOf(upstream).headers["authorization"]).toBeUndefined();
  });

  it("status, fields and body come back as they are, 401, 403 and 5xx too, each after one attempt", async () => {
    const { upstream, proxy } = await withUpstream();
    for (const status of [401, 403, 404, 418, 500, 503]) {
      upstream.handler = (_request, response) =>
        void response
          .writeHead(status, { "content-type": "text/plain", "mcp-session-id": "s1", "set-cookie": ["a=1", "b=2"] })
          .end(`status ${status}\r\nforged`);
      const before = upstream.requests.length;
      const { headers, ...answer } = await send(proxy.url, { headers: json, body: call(1) });
      expect(answer).toMatchObject({ status, text: `status ${status}\r\nforged` });
      expect(headers).toMatchObject({ "mcp-session-id": "s1", "set-cookie": ["a=1", "b=2"] });
      expect(upstream.requests.length - before).toBe(1);
    }
    const refusals = proxy.logged().filter(({ msg }) => msg === "the upstream refuses");
    expect(refusals.map(({ upstreamStatus, error, hint }) => [upstreamStatus, error, hint])).toEqual(
      [401, 403].map((status) => [status, `status ${status}\r\nforged`, expect.stringContaining("MCP_API_SECRET")]),
    );
  });

  it("A26: a redirect comes back as it is and is not followed", async () => {
    const { upstream, proxy } = await withUpstream();
    await using elsewhere = await FakeUpstream.start();
    upstream.handler = (_request, response) => void response.writeHead(302, { location: elsewhere.url }).end();
    expect(await send(proxy.url, { headers: json, body: call(1) })).toMatchObject({ status: 302 });
    expect(elsewhere.requests).toEqual([]);
  });

  it("a clock that is wrong is named where the upstream refuses", async () => {
    const { upstream, proxy } = await withUpstream();
    const date = new Date(Date.now() + 3_600_000).toUTCString();
    upstream.handler = (_request, response) => void response.writeHead(401, { date }).end();
    await send(proxy.url, { headers: json, body: call(1) });
    const line = await until("the refusal", () => proxy.logged().find(({ msg }) => msg === "the upstream refuses"));
    expect(line["hint"]).toMatch(/clock is 3[56]\d\d s behind/);
  });
});

describe("what is answered here", () => {
  it("GET /mcp beats where the upstream does not stream; what it says of a session goes on", async () => {
    const { upstream, proxy } = await withUpstream({ SSE_HEARTBEAT_MS: "100" });
    upstream.handler = (_request, response) => void response.writeHead(405).end();
    expect((await beats(proxy, 2)).match(/^: heartbeat$/gm)).toHaveLength(2);
    expect((await send(proxy.url, { method: "GET" })).status).toBe(405);
    upstream.handler = (_request, response) => void response.writeHead(404).end();
    const ended = await send(proxy.url, { method: "GET", headers: { ...listening, "mcp-session-id": "s" } });
    expect(ended.status).toBe(404);
  });

  it.each([
    "/.well-known/oauth-protected-resource",
    "/.well-known/oauth-protected-resource/mcp",
    "/.well-known/oauth-authorization-server",
    "/.well-known/openid-configuration/mcp",
    "/mcp/.well-known/openid-configuration",
    "/.well-known/%6fauth-authorization-server",
  ])("%s answers 404 and reaches no upstream", async (path) => {
    const { upstream, proxy } = await withUpstream();
    expect((await send(`${new URL(proxy.url).origin}${path}`, { method: "GET" })).status).toBe(404);
    expect(upstream.requests).toEqual([]);
  });

  it("/health says that it is there; /metrics is served where that is asked for", async () => {
    const { upstream, proxy } = await withUpstream({ METRICS: "true" });
    await send(proxy.url, { headers: json, body: call(1) });
    const at = (path: string) => send(`${new URL(proxy.url).origin}${path}`, { method: "GET" });
    expect(JSON.parse((await at("/health")).text)).toMatchObject({ status: "healthy" });
    expect((await at("/metrics")).text).toContain('sluice_proxy_requests_total{method="POST",status="200"');
    expect(upstream.requests.length).toBe(1);
  });

  it("A18: a foreign Origin or Host gets 403 at every path, and no page of another site may read what an upstream allows it", async () => {
    const { upstream, proxy } = await withUpstream();
    upstream.handler = (_request, response) => answerJson(response, {}, { "access-control-allow-origin": "*" });
    for (const path of ["/mcp", "/health", "/.well-known/oauth-protected-resource", "/api"])
      for (const headers of [{ origin: "https://evil.example" }, { host: "evil.example" }, { origin: "null" }])
        expect((await send(`${new URL(proxy.url).origin}${path}`, { method: "GET", headers })).status).toBe(403);
    expect(upstream.requests).toEqual([]);
    const local = await send(proxy.url, { headers: { ...json, origin: "http://localhost:5173" }, body: call(1) });
    expect(local.status).toBe(200);
    expect(local.headers["access-control-allow-origin"]).toBeUndefined();
  });
});

it("A31: the secret, the key and what clients send are in no log line, at the lowest level", async () => {
  const { upstream, proxy } = await withUpstream({ LOG_LEVEL: "trace" });
  upstream.handler = ({ headers }, response) =>
    void response
      .writeHead(403)
      .end(`no ${apiSecret} ${String(headers["x-api-key-id"])} ${String(headers["x-signature"])}`);
  await send(`${proxy.url}?token=canary-query`, {
    headers: { ...json, authorization: "Bearer canary-token", "x-mine": "canary-header" },
    body: call(1, { text: "canary-body" }),
  });
  await until("the log line", () => proxy.logged().some(({ msg }) => msg === "the upstream refuses"));
  const text = proxy.output.join("\n");
  for (const canary of [apiSecret, apiKey, "canary-"]) expect(text).not.toContain(canary);
});

it("A31: a secret is found in an error's body where the log line would cut it in two", async () => {
  const { upstream, proxy } = await withUpstream();
  upstream.handler = (_request, response) => void response.writeHead(500).end(`${"x".repeat(500)}${apiSecret}`);
  await send(proxy.url, { headers: json, body: call(1) });
  const line = await until("the log line", () => proxy.logged().find(({ msg }) => msg === "the upstream failed"));
  expect(line["error"]).toBe(`${"x".repeat(500)}***`);
});

it("a refused request is logged with its reason", async () => {
  const { proxy } = await withUpstream();
  await send(proxy.url, { headers: { ...json, host: "evil.example" }, body: call(1) });
  const line = await until("the log line", () => proxy.logged().find(({ msg }) => msg === "refused"));
  expect(line).toMatchObject({
    level: "warn",
    fault: "foreign_host",
    reason: expect.stringContaining("ALLOWED_HOSTS"),
  });
});

it("a stop waits neither for streams of the server's own messages nor for connections that are kept alive", async () => {
  const { upstream, proxy } = await withUpstream({ SHUTDOWN_DEADLINE_MS: "600000" });
  const held = Promise.withResolvers<() => void>();
  upstream.handler = (request, response) => {
    if (request.method !== "GET") return held.resolve(() => answerEcho(request, response));
    response.writeHead(200, { "content-type": "text/event-stream" }).write("data: 1\n\n");
  };
  const listener = await fetch(proxy.url, { headers: listening });
  const answer = fetch(proxy.url, { method: "POST", headers: json, body: call(1) });
  const release = await held.promise;
  const stopped = proxy.process.stop("SIGTERM", 30_000);
  expect(await listener.text()).toBe("data: 1\n\n");
  release();
  expect((await answer).status).toBe(200);
  expect((await stopped).code).toBe(0);
});

it("a stop lets calls under way finish, ends heartbeats, and is over before its deadline", async () => {
  const { upstream, proxy } = await withUpstream();
  const held = Promise.withResolvers<() => void>();
  upstream.handler = (request, response) => {
    if (request.method === "GET") return void response.writeHead(405).end();
    held.resolve(() => answerEcho(request, response));
  };
  const beating = beats(proxy, Number.POSITIVE_INFINITY);
  const answered = send(proxy.url, { headers: json, body: call(1) });
  const release = await held.promise;
  const stopped = proxy.process.stop("SIGTERM", 10_000);
  expect(await beating).toContain(": heartbeat");
  release();
  expect((await answered).status).toBe(200);
  expect((await stopped).code).toBe(0);
});

/** What a listening client got, once so many heartbeats came or the stream ended. */
async function beats({ url }: ProxyRun, count: number): Promise<string> {
  const { port } = new URL(url);
  const socket = connect(Number(port), "127.0.0.1");
  socket.write(`GET /mcp HTTP/1.1\r\nhost: 127.0.0.1:${port}\r\naccept: text/event-stream\r\n\r\n`);
  let text = "";
  for await (const chunk of socket) {
    text += String(chunk);
    if (text.split(": heartbeat").length > count) break;
    if (text.endsWith("0\r\n\r\n")) break;
  }
  socket.destroy();
  return text;
}
