import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { FakeUpstream, TestAuthority, until, type UpstreamHandler } from "@sluice/testing";
import { beforeEach, describe, expect, it, onTestFinished } from "vitest";
import { send, sendRaw } from "./http.ts";
import { apiKey, apiSecret, environment, sluice, startProxy } from "./proxy-run.ts";

const json = { "content-type": "application/json" };
const call = JSON.stringify({ jsonrpc: "2.0", id: 1, method: "tools/list" });

let dir: string;
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), "sluice-proxy-test-"));
  onTestFinished(() => rm(dir, { recursive: true, force: true }));
});

async function withUpstream(handler: UpstreamHandler, env: Record<string, string> = {}) {
  const upstream = await FakeUpstream.start(handler);
  onTestFinished(() => upstream[Symbol.asyncDispose]());
  const proxy = await startProxy(upstream.url, env);
  onTestFinished(() => proxy[Symbol.asyncDispose]());
  return { upstream, proxy };
}

describe("an upstream that misbehaves", () => {
  it("that does not answer ends in 504, asked once; one that does not go on is cut off", async () => {
    const env = { UPSTREAM_RESPONSE_TIMEOUT_MS: "300", UPSTREAM_IDLE_TIMEOUT_MS: "300" };
    const { upstream, proxy } = await withUpstream(() => {}, env);
    const unanswered = await send(proxy.url, { headers: json, body: call });
    expect([unanswered.status, JSON.parse(unanswered.text)]).toEqual([
      504,
      { error: "upstream_timeout", message: "the upstream did not answer in time" },
    ]);
    expect(upstream.requests.length).toBe(1);
    upstream.handler = (_request, response) => void response.writeHead(200).write("half");
    await expect(send(proxy.url, { headers: json, body: call })).rejects.toThrow();
    await until("the log", () => proxy.logged().some(({ fault }) => fault === "upstream_timeout"));
  });

  it("that resets, or is not there, ends in 502; the proxy goes on", async () => {
    const { upstream, proxy } = await withUpstream((_request, response) => void response.socket?.resetAndDestroy());
    expect((await send(proxy.url, { headers: json, body: call })).status).toBe(502);
    upstream.handler = (_request, response) => {
      response.writeHead(200, { "content-length": 10 }).write("half");
      response.socket?.destroySoon();
    };
    await expect(send(proxy.url, { headers: json, body: call })).rejects.toThrow();
    upstream.handler = (_request, response) => void response.end("well");
    expect((await send(proxy.url, { headers: json, body: call })).text).toBe("well");
    await upstream[Symbol.asyncDispose]();
    expect((await send(proxy.url, { headers: json, body: call })).status).toBe(502);
  });

  it("that sends 200 MB is read no faster than its client, and fits in flat memory", async () => {
    const chunk = Buffer.alloc(1024 * 1024, "x");
    const { proxy } = await withUpstream(async (_request, response) => {
      response.setMaxListeners(0).writeHead(200, { "content-type": "application/octet-stream" });
      for (let sent = 0; sent < 200 && !response.destroyed; sent++)
        if (!response.write(chunk))
          await new Promise((resolve) => response.once("drain", resolve).once("close", resolve));
      response.end();
    });
    const response = await fetch(proxy.url, { method: "POST", headers: json, body: call });
    let bytes = 0;
    for await (const part of response.body as unknown as AsyncIterable<Uint8Array>) bytes += part.length;
    expect(bytes).toBe(200 * chunk.length);
    expect(await rssOf(proxy.process.pid)).toBeLessThan(300 * 1024 * 1024);
  });

  it("an event stream may be silent for longer than an answer; the client's leaving ends it upstream", async () => {
    const closed = Promise.withResolvers<void>();
    const go = Promise.withResolvers<void>();
    const { proxy } = await withUpstream(
      async (_request, response) => {
        response.writeHead(200, { "content-type": "text/event-stream" }).write("data: 1\n\n");
        response.once("close", closed.resolve);
        await go.promise;
        response.write("data: 2\n\n");
      },
      { UPSTREAM_IDLE_TIMEOUT_MS: "100" },
    );
    const other = await withUpstream((_request, response) => void response.writeHead(200).write("half"), {
      UPSTREAM_IDLE_TIMEOUT_MS: "200",
    });
    const leaving = new AbortController();
    const { body } = await fetch(proxy.url, { headers: { accept: "text/event-stream" }, signal: leaving.signal });
    const events = (body as ReadableStream<Uint8Array>).pipeThrough(new TextDecoderStream()).getReader();
    expect((await events.read()).value).toBe("data: 1\n\n");
    // By then the silence that an answer may keep is over.
    await expect(send(other.proxy.url, { headers: json, body: call })).rejects.toThrow();
    go.resolve();
    expect((await events.read()).value).toBe("data: 2\n\n");
    leaving.abort();
    await closed.promise;
  });
});

describe("a client that misbehaves", () => {
  it("sends too much: 413, whether it says so before or not", async () => {
    const { upstream, proxy } = await withUpstream((_request, response) => void response.end(), {
      MAX_BODY_BYTES: "1024",
    });
    const body = "x".repeat(2_000);
    expect((await send(proxy.url, { headers: json, body })).status).toBe(413);
    expect((await send(proxy.url, { headers: json, body: [body.slice(0, 1_000), body.slice(1_000)] })).status).toBe(
      413,
    );
    expect(upstream.requests).toEqual([]);
  });

  it.each([
    ["two Host fields", "POST /mcp HTTP/1.1\r\nhost: 127.0.0.1\r\nhost: 127.0.0.1\r\ncontent-length: 0\r\n\r\n", 400],
    ["another server's URL", "GET http://127.0.0.1:1/mcp HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n", 400],
    ["CONNECT", "CONNECT 127.0.0.1:1 HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n", undefined],
    ["TRACE", "TRACE /mcp HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\r\n", 405],
    [
      "both framings",
      "POST /mcp HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
      400,
    ],
  ])("sends %s, which reaches no upstream", async (_what, bytes, status) => {
    const { upstream, proxy } = await withUpstream((_request, response) => void response.end());
    const { statuses } = await sendRaw(proxy.url, bytes.replace("\r\n\r\n", "\r\nconnection: close\r\n\r\n"));
    expect(statuses[0]).toBe(status);
    expect(upstream.requests).toEqual([]);
  });
});

describe("TLS", () => {
  it("the upstream's certificate is checked against UPSTREAM_CA_FILE, and a client certificate shown", async () => {
    const authority = await TestAuthority.create("workstation tests");
    const server = await authority.issue({ sans: [{ type: "ip", value: "127.0.0.1" }], usage: "server" });
    const client = await authority.issue({ commonName: "desk", usage: "client" });
    const files = { ca: join(dir, "ca.pem"), cert: join(dir, "cert.pem"), key: join(dir, "key.pem") };
    await writeFile(files.ca, authority.cert);
    await writeFile(files.cert, client.cert);
    await writeFile(files.key, client.key);
    const tls = {
      cert: server.cert,
      key: server.key,
      ca: authority.cert,
      requestCert: true,
      rejectUnauthorized: true,
    };
    await using upstream = await FakeUpstream.start((_request, response) => void response.end("seen"), tls);
    const env = { UPSTREAM_CA_FILE: files.ca, UPSTREAM_CERT_FILE: files.cert, UPSTREAM_KEY_FILE: files.key };
    await using proxy = await startProxy(upstream.url, env);
    expect((await send(proxy.url, { headers: json, body: call })).text).toBe("seen");
    expect(upstream.requests[0]?.certificate).toBeDefined();
    await using stranger = await startProxy(upstream.url);
    expect((await send(stranger.url, { headers: json, body: call })).status).toBe(502);
  });
});

describe("settings", () => {
  const start = (env: Record<string, string>, args: readonly string[] = []) =>
    new Promise<{ code: unknown; stdout: string; stderr: string }>((resolve) => {
      execFile(
        process.execPath,
        [sluice, "proxy", ...args],
        { env, cwd: dir, timeout: 20_000 },
        (error, stdout, stderr) => resolve({ code: error?.code ?? 0, stdout, stderr }),
      );
    });
  const { PATH = "" } = process.env;

  it("that are missing or wrong are named all at once, without their values; exit code 2, and nothing listens", async () => {
    const wrong = {
      PATH,
      MCP_UPSTREAM_URL: "ftp://me:hunter2@x",
      MCP_API_SECRET: "changeme",
      PORT: "x",
      SIGNING_MODE: "md5",
    };
    const { code, stdout, stderr } = await start(wrong);
    expect([code, stdout]).toEqual([2, ""]);
    for (const name of ["MCP_UPSTREAM_URL", "MCP_API_KEY: is missing", "MCP_API_SECRET", "PORT", "SIGNING_MODE"])
      expect(stderr).toContain(name);
    expect(stderr).not.toMatch(/hunter2|changeme|md5/);
  });

  it("a port that is taken, a .env that can't be read and half a client certificate are said", async () => {
    const taken = createServer().listen(0, "127.0.0.1");
    onTestFinished(() => void taken.close());
    await new Promise((resolve) => taken.once("listening", resolve));
    const { port } = taken.address() as { port: number };
    const env = environment("http://127.0.0.1:1/mcp");
    expect(await start({ ...env, PORT: String(port) })).toMatchObject({
      code: 2,
      stderr: expect.stringContaining("set PORT"),
    });
    expect(await start(env, ["--env", "nowhere"])).toMatchObject({
      code: 2,
      stderr: expect.stringContaining("nowhere"),
    });
    const half = await start({ ...env, UPSTREAM_CERT_FILE: "cert.pem" });
    expect(half).toMatchObject({ code: 2, stderr: expect.stringContaining("UPSTREAM_KEY_FILE") });
  });

  it("come from .env and from references to files too, and the environment counts more", async () => {
    await using upstream = await FakeUpstream.start((_request, response) => void response.end());
    await writeFile(join(dir, "secret"), `${apiSecret}\n`);
    await writeFile(
      join(dir, "settings"),
      `MCP_UPSTREAM_URL=http://127.0.0.1:1/mcp\nMCP_API_KEY=${apiKey}\nMCP_API_SECRET='\${file:${join(dir, "secret")}}'\n`,
    );
    await using proxy = await startProxy(upstream.url, { MCP_API_SECRET: `\${file:${join(dir, "secret")}}` });
    expect((await send(proxy.url, { headers: json, body: call })).status).toBe(200);
    const bad = await start({ PATH, PORT: "0", MCP_API_KEY: "two words" }, ["--env", "settings"]);
    expect(bad).toMatchObject({
      code: 2,
      stderr: expect.stringMatching(/^sluice proxy: [^:]+:\n {2}MCP_API_KEY: [^\n]+\n$/),
    });
  });

  it("a URL that is none and a reference that leads nowhere are named beside the others", async () => {
    const wrong = { PATH, MCP_UPSTREAM_URL: "nonsense", MCP_API_SECRET: "${file:nowhere}", PORT: "x" };
    const { code, stderr } = await start(wrong);
    expect(code).toBe(2);
    for (const name of ["MCP_UPSTREAM_URL", "MCP_API_KEY", "MCP_API_SECRET", "PORT"])
      expect(stderr).toContain(`\n  ${name}: `);
  });

  it("--print-config prints JSON that starts this very program, before anything is set", async () => {
    const { code, stdout } = await start({ PATH }, ["--print-config", "claude"]);
    const { mcpServers } = JSON.parse(stdout) as { mcpServers: { sluice: { command: string; args: string[] } } };
    const { command, args } = mcpServers.sluice;
    expect([code, command, args]).toEqual([0, process.execPath, [sluice, "proxy", "--stdio"]]);
  });
});

async function rssOf(pid: number): Promise<number> {
  const kilobytes = /VmHWM:\s+(\d+) kB/.exec(await readFile(`/proc/${pid}/status`, "utf8"))?.[1];
  return Number(kilobytes) * 1024;
}
