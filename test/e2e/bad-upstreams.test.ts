import { execFileSync } from "node:child_process";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { createServer, type Server } from "node:http";
import { createServer as createTlsServer } from "node:https";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { AddressInfo } from "node:net";
import { answerEcho, FakeUpstream, startTestHouse, until, type TestHouse, type UpstreamHandler } from "@sluice/testing";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { MemoryWatch } from "./memory.ts";
import { answerOf, call, legacyHeaders, open, send, type Answer, type Sent } from "./wire.ts";

const responseTimeoutMs = 1_000;
const breakerFailures = 3;
const mebibyte = 1024 * 1024;
const secret = "6c1fd6f0c4e04d5d9d2a7b1e";
/** One endpoint each, so that the breaker of one is not that of another; the last segment of its path is its name. */
const servers = [
  ...["good", "hang", "reset", "drip", "half", "no-session", "text", "empty", "wrong-id", "huge", "endless", "html"],
  ...["s500", "s502", "s503", "s504", "none", "bad-request", "flaky", "unavailable", "client-errors", "listening"],
  ...["r301", "r302", "r303", "r307", "r308"],
];
const handlers = new Map<string, UpstreamHandler>();
let upstream: FakeUpstream;
let elsewhere: FakeUpstream;
let inside: Server;
let insideServed = 0;
let house: TestHouse;
const stack = new AsyncDisposableStack();

beforeAll(async () => {
  const route: UpstreamHandler = (request, response) =>
    (handlers.get(request.url.split("/").at(-1) ?? "") ?? answerEcho)(request, response);
  upstream = stack.use(await FakeUpstream.start(route));
  elsewhere = stack.use(await FakeUpstream.start());
  inside = createServer((_request, response) => {
    insideServed++;
    response.end("{}");
  });
  const signing = { keyId: "k-1", secret: "${env:SIGNING_SECRET}" };
  const endpoint = (name: string) => ({ name, url: `${upstream.url}/${name}`, signing, responseTimeoutMs });
  const { endpoints: addresses } = await specialEndpoints();
  const tenant = (agent: string) => ({
    agents: [agent],
    mcp: { endpoints: [...servers.map(endpoint), ...addresses] },
    accessRules: [{ agentPattern: "*", allowedTools: ["*"] }],
  });
  house = stack.use(
    await startTestHouse({
      tenants: { acme: tenant("a-1"), beta: tenant("b-1") },
      env: { SIGNING_SECRET: secret },
      envOf: {
        // Less than control: what was allowed when it was saved is checked again when connecting.
        egress: {
          UPSTREAM_NETWORKS: "127.0.0.1/32",
          EGRESS_BREAKER_FAILURES: String(breakerFailures),
          EGRESS_BREAKER_OPEN_MS: "3000",
          EGRESS_MAX_ANSWER_BYTES: String(8 * mebibyte),
        },
      },
    }),
  );
});
afterAll(() => stack.disposeAsync());
beforeEach(() => {
  for (const { requests } of [upstream, elsewhere]) requests.length = 0;
  insideServed = 0;
});

/** Where nobody may go, where nobody is, and where nobody can be trusted. */
async function specialEndpoints() {
  const dir = await mkdtemp(join(tmpdir(), "sluice-tls-"));
  stack.defer(() => rm(dir, { recursive: true, force: true }));
  const [keyFile, certFile] = [join(dir, "key.pem"), join(dir, "cert.pem")];
  const subject = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"];
  execFileSync(
    "openssl",
    ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", keyFile, "-out", certFile, ...subject],
    { stdio: "ignore" },
  );
  const files = { key: await readFile(keyFile), cert: await readFile(certFile) };
  const tls = createTlsServer(files, (_request, response) => response.end("{}"));
  const gone = await FakeUpstream.start();
  const ports = { inside: await listen(inside, "127.0.0.2"), tls: await listen(tls, "127.0.0.1"), gone: gone.port };
  await gone[Symbol.asyncDispose]();
  return {
    endpoints: [
      { name: "inside", url: `http://127.0.0.2:${ports.inside}/mcp` },
      { name: "inside-mapped", url: `http://[::ffff:127.0.0.2]:${ports.inside}/mcp` },
      { name: "bad-tls", url: `https://127.0.0.1:${ports.tls}/mcp` },
      { name: "gone", url: `http://127.0.0.1:${ports.gone}/mcp` },
    ],
  };
}

async function listen(server: Server, host: string): Promise<number> {
  const listening = Promise.withResolvers<void>();
  server.listen(0, host, listening.resolve);
  await listening.promise;
  stack.defer(() => void server.close().closeAllConnections());
  return (server.address() as AddressInfo).port;
}

const to = (server: string, tenant: "acme" | "beta" = "acme", tool = "echo"): Sent => ({
  url: `${house.house.url}/mcp/${server}`,
  key: house.key(tenant === "acme" ? "a-1" : "b-1", tenant),
  headers: legacyHeaders,
  body: call(7, tool),
});
const faultOf = ({ status, body }: Answer) => {
  const { id, error } = JSON.parse(body.toString()) as { id: number; error: { data: { error: string } } };
  return { status, id, fault: error.data.error };
};
const othersGoOn = async () => {
  for (const tenant of ["acme", "beta"] as const) expect((await send(to("good", tenant))).status).toBe(200);
};
const reached = (server: string) => upstream.requests.filter(({ url }) => url.endsWith(`/${server}`));
const json = { "content-type": "application/json" };
const write =
  (text: string, status = 200): UpstreamHandler =>
  (_request, response) =>
    void response.writeHead(status, json).end(text);

describe("an upstream that misbehaves (A40)", () => {
  const failed = { status: 502, id: 7, fault: "upstream_failed" };
  const late = { status: 504, id: 7, fault: "upstream_timeout" };
  it.each<[string, UpstreamHandler, typeof failed]>([
    ["hang", () => {}, late],
    ["reset", (_request, response) => void response.destroy(), failed],
    [
      "half",
      (_request, response) =>
        void response.writeHead(200, { ...json, "content-length": "99" }).write("{", () => response.destroy()),
      failed,
    ],
    ["text", write("Just a moment."), failed],
    [
      "html",
      (_request, response) => void response.writeHead(200, { "content-type": "text/html" }).end("<html>"),
      failed,
    ],
    ["empty", write(""), failed],
    ["wrong-id", write('{"jsonrpc":"2.0","id":"7","result":{}}'), failed],
    [
      "huge",
      (_request, response) =>
        void response.writeHead(200, { ...json, "content-length": String(200 * mebibyte) }).flushHeaders(),
      failed,
    ],
    [
      "drip",
      (_request, response) => {
        response.writeHead(200, json);
        const timer = setInterval(() => response.write(" "), 100);
        response.once("close", () => clearInterval(timer));
      },
      late,
    ],
  ])("by %s ends in a bounded 502 or 504, and others go on meanwhile", async (server, handler, expected) => {
    handlers.set(server, handler);
    const answer = send(to(server));
    await othersGoOn();
    expect(faultOf(await answer)).toEqual(expected);
    await othersGoOn();
  });

  it.each(["gone", "bad-tls"])("by being %s is answered with 502", async (server) => {
    expect(faultOf(await send(to(server)))).toEqual(failed);
    await othersGoOn();
  });

  it.each([500, 502, 503, 504])("by status %d has its own answer relayed", async (status) => {
    const text = "the upstream's own words";
    handlers.set(`s${status}`, write(text, status));
    const answer = await send(to(`s${status}`));
    expect([answer.status, answer.body.toString()]).toEqual([status, text]);
    await othersGoOn();
  });

  it("by an answer without end has it cut off at the bound, with flat memory", async () => {
    const chunk = Buffer.alloc(mebibyte, " ");
    handlers.set("endless", (_request, response) => {
      response.writeHead(200, json);
      const more = () => {
        while (!response.destroyed && response.write(chunk));
      };
      response.on("drain", more);
      more();
    });
    const watch = new MemoryWatch([...house.house.of("ingress"), ...house.house.of("egress")]);
    const response = await answerOf(open(to("endless")));
    let bytes = 0;
    const broken = await (async () => {
      for await (const part of response as AsyncIterable<Buffer>) bytes += part.length;
    })().catch((error: unknown) => error);
    expect(broken).toBeInstanceOf(Error);
    expect(bytes).toBeLessThanOrEqual(8 * mebibyte);
    expect(watch.riseMb).toBeLessThan(200);
    await othersGoOn();
  });

  it("by a new session with an answer that is none is told that the session ends", async () => {
    handlers.set(
      "no-session",
      (_request, response) =>
        void response.writeHead(200, { ...json, "mcp-session-id": "of-the-upstream" }).end("no JSON"),
    );
    const body = { jsonrpc: "2.0", id: 7, method: "initialize", params: {} };
    const answer = await send({ ...to("no-session"), body });
    expect(faultOf(answer)).toEqual(failed);
    expect(answer.headers).not.toHaveProperty("mcp-session-id");
    const ending = await until("the session's end", () =>
      reached("no-session").find(({ method }) => method === "DELETE"),
    );
    expect(ending.headers["mcp-session-id"]).toBe("of-the-upstream");
  });

  it("by an error without an id, or a status of the client's fault, is relayed as it came", async () => {
    const text = '{"jsonrpc":"2.0","id":null,"error":{"code":-32600,"message":"no"}}';
    for (const status of [200, 400]) {
      handlers.set("bad-request", write(text, status));
      const answer = await send(to("bad-request"));
      expect([answer.status, answer.body.toString()]).toEqual([status, text]);
    }
  });
});

describe("the breaker of an upstream (A40)", () => {
  const opened = async (server: string, tenant = "acme") => {
    const metrics = await (await fetch(`${house.house.of("egress")[0]?.health}/metrics`)).text();
    const line = metrics
      .split("\n")
      .find(
        (text) =>
          text.includes(`tenant="${tenant}",server="${server}"`) && text.startsWith("sluice_upstream_breaker_open"),
      );
    return line?.endsWith(" 1") ?? false;
  };
  const fail = async (server: string) => {
    for (let time = 0; time < breakerFailures; time++) await send(to(server));
  };

  it("opens after failures in a row: 503 with Retry-After at once, nothing reaches it, other tenants are not touched", async () => {
    handlers.set("flaky", (_request, response) => void response.destroy());
    await fail("flaky");
    const refused = await send(to("flaky"));
    expect(faultOf(refused)).toEqual({ status: 503, id: 7, fault: "upstream_unavailable" });
    expect(Number(refused.headers["retry-after"])).toBeGreaterThan(0);
    expect(reached("flaky")).toHaveLength(breakerFailures);
    expect([await opened("flaky"), await opened("flaky", "beta")]).toEqual([true, false]);
    expect((await send(to("flaky", "beta"))).status).toBe(502);
    expect(reached("flaky")).toHaveLength(breakerFailures + 1);
    await othersGoOn();
    expect(await house.logs()).toMatch(/"tenant":"acme","server":"flaky".*upstream does not answer/);
  });

  it("closes with the first call that is answered again", async () => {
    handlers.set("flaky", answerEcho);
    await until("a probe that is answered", async () => (await send(to("flaky"))).status === 200);
    expect(await opened("flaky")).toBe(false);
    expect((await send(to("flaky"))).status).toBe(200);
    expect(await house.logs()).toMatch(/"tenant":"acme","server":"flaky".*upstream answers again/);
  });

  it("counts 502, 503 and 504, however well-formed", async () => {
    handlers.set("unavailable", write("{}", 503));
    await fail("unavailable");
    expect(faultOf(await send(to("unavailable"))).fault).toBe("upstream_unavailable");
  });

  it("counts no errors of other kinds, and no client that leaves", async () => {
    const error = '{"jsonrpc":"2.0","id":7,"error":{"code":-32000,"message":"no"}}';
    for (const handler of [write("{}", 500), write("{}", 404), write(error), write("no answer")]) {
      handlers.set("client-errors", handler);
      await fail("client-errors");
    }
    const left = new Set<unknown>();
    handlers.set("client-errors", (_request, response) => void response.once("close", () => left.add(response)));
    for (let time = 0; time < breakerFailures; time++) {
      const before = reached("client-errors").length;
      const request = open({ ...to("client-errors"), headers: { "mcp-protocol-version": "2026-07-28" } });
      request.on("error", () => {});
      await until("it at the upstream", () => reached("client-errors").length > before);
      request.destroy();
      await until("its end at the upstream", () => left.size > time);
    }
    handlers.set("client-errors", answerEcho);
    expect((await send(to("client-errors"))).status).toBe(200);
  });
});

describe("an address that the operator did not allow (A25)", () => {
  it.each(["inside", "inside-mapped"])("is refused when connecting too: %s", async (server) => {
    const answer = await send(to(server));
    expect(faultOf(answer)).toEqual({ status: 502, id: 7, fault: "upstream_failed" });
    expect(answer.body.toString()).not.toMatch(/127\.0\.0|7f00/);
    expect(insideServed).toBe(0);
    expect(await house.logs()).toMatch(
      new RegExp(`"server":"${server}".*127\\.0\\.0\\.2 is no public address.*set UPSTREAM_NETWORKS`),
    );
  });
});

describe("a redirect", () => {
  it.each([301, 302, 303, 307, 308])(
    "by %d is not followed, inside or across origins; no credential goes there and its target stays unknown (A26)",
    async (status) => {
      const { port } = inside.address() as AddressInfo;
      const targets = [
        `http://127.0.0.2:${port}/mcp`,
        elsewhere.url,
        `${upstream.url}/good`,
        "//127.0.0.2/",
        "/mcp/good",
      ];
      for (const location of targets) {
        handlers.set(`r${status}`, (_request, response) => void response.writeHead(status, { location }).end());
        const before = upstream.requests.length;
        const answer = await send(to(`r${status}`));
        expect(faultOf(answer)).toEqual({ status: 502, id: 7, fault: "upstream_failed" });
        expect(answer.headers).not.toHaveProperty("location");
        expect(answer.body.toString()).not.toContain("127.0.0");
        expect(upstream.requests.length).toBe(before + 1);
      }
      expect(upstream.requests.every(({ headers }) => headers["x-signature"] !== undefined)).toBe(true);
      expect([elsewhere.requests.length, insideServed]).toEqual([0, 0]);
    },
  );

  it("of a stream or the end of a session is not followed either (A26)", async () => {
    handlers.set("listening", (_request, response) => void response.writeHead(307, { location: elsewhere.url }).end());
    for (const method of ["GET", "DELETE"] as const) {
      const { body: _body, ...rest } = to("listening");
      expect((await send({ ...rest, method })).status).toBe(502);
    }
    expect(elsewhere.requests).toEqual([]);
  });
});
