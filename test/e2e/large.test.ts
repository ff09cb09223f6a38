import { createHash, createHmac, randomBytes } from "node:crypto";
import { FakeUpstream, startTestHouse, type ReceivedRequest, type TestHouse } from "@sluice/testing";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { MemoryWatch } from "./memory.ts";
import { call, legacyHeaders, listen, send, type Sent } from "./wire.ts";

const mebibyte = 1024 * 1024;
const large = 20 * mebibyte;
const inParallel = 8;
/** So many fit into REPLIES together, whose oldest frames readers on a busy machine would miss otherwise. */
const streamedInParallel = 4;
const secrets = { SIGNING_PLAIN: randomBytes(32).toString("hex"), SIGNING_STRICT: randomBytes(32).toString("hex") };
const filler = randomBytes(large / 2).toString("hex");
/** What the upstream sent, by the tool that was called. */
const answered = new Map<string, string>();
let upstream: FakeUpstream;
let house: TestHouse;
const stack = new AsyncDisposableStack();

beforeAll(async () => {
  upstream = stack.use(await FakeUpstream.start(answerLarge));
  const signed = (mode: string, secret: string) => ({ keyId: `key-${mode}`, mode, secret: `\${env:${secret}}` });
  house = stack.use(
    await startTestHouse({
      tenants: {
        acme: {
          agents: ["a-1"],
          mcp: {
            endpoints: [
              {
                name: "plain",
                url: upstream.url,
                listCacheSeconds: 0,
                signing: signed("auth-gateway", "SIGNING_PLAIN"),
              },
              {
                name: "strict",
                url: `${upstream.url}/in%20side?tenant=acme&x=%20`,
                signing: signed("strict", "SIGNING_STRICT"),
              },
            ],
          },
          accessRules: [{ agentPattern: "*", allowedTools: ["*"] }],
        },
      },
      // Comments belong into event streams alone.
      env: { ...secrets, SSE_KEEP_ALIVE_MS: "100" },
    }),
  );
});
afterAll(() => stack.disposeAsync());

const hash = (bytes: string | Buffer) => createHash("sha256").update(bytes).digest("hex");
const to = (server: string, body: unknown): Sent => ({
  url: `${house.house.url}/mcp/${server}`,
  key: house.key("a-1"),
  headers: legacyHeaders,
  body,
});
const services = () => [...house.house.of("ingress"), ...house.house.of("egress")];
const each = <T>(work: (index: number) => Promise<T>, times = inParallel) =>
  Promise.all(Array.from({ length: times }, (_, index) => work(index)));
const requestOf = (tool: string) => upstream.requests.find(({ message }) => message?.params?.["name"] === tool);

/** Answers according to the tool's name: small, a large JSON body, or one large event. */
function answerLarge({ message }: ReceivedRequest, response: Parameters<FakeUpstream["handler"]>[1]): void {
  const tool = String(message?.params?.["name"]);
  const text = tool.startsWith("up-") ? "ok" : `${filler}${tool}`;
  const body = JSON.stringify({ jsonrpc: "2.0", id: message?.id, result: { content: [{ type: "text", text }] } });
  answered.set(tool, hash(body));
  const sse = tool.startsWith("event-");
  response.writeHead(200, { "content-type": sse ? "text/event-stream" : "application/json" });
  response.end(sse ? `data: ${body}\n\n` : body);
}

describe("20 MB, eight at once", () => {
  it("pass up as a request's body unchanged, with bounded memory", async () => {
    const watch = new MemoryWatch(services());
    await each(async (index) => {
      const body = Buffer.from(JSON.stringify(call(index, `up-${index}`, { filler })));
      const answer = await send(to("plain", body));
      expect(answer.status).toBe(200);
      expect(hash(requestOf(`up-${index}`)?.body ?? "")).toBe(hash(body));
    });
    expect(watch.riseMb).toBeLessThan(600);
    upstream.requests.length = 0;
  });

  it("pass down as a JSON answer unchanged, with bounded memory", async () => {
    const watch = new MemoryWatch(services());
    await each(async (index) => {
      const answer = await send(to("plain", call(index, `down-${index}`)));
      expect(answer.status).toBe(200);
      expect(hash(answer.body)).toBe(answered.get(`down-${index}`));
    });
    expect(watch.riseMb).toBeLessThan(400);
  });

  it("pass down as a single event unchanged, four at once, with bounded memory", async () => {
    const watch = new MemoryWatch(services());
    await each(async (index) => {
      const reader = await listen(to("plain", call(index, `event-${index}`)));
      expect(await reader.finished(40_000)).toBe("end");
      expect(reader.events.map(({ data }) => hash(data))).toEqual([answered.get(`event-${index}`)]);
    }, streamedInParallel);
    expect(watch.riseMb).toBeLessThan(400);
  });

  it("leave no memory behind, however often they pass", { timeout: 120_000 }, async () => {
    const round = () =>
      each((index) => send(to("plain", Buffer.from(JSON.stringify(call(index, `up-${index}`, { filler }))))));
    await round();
    const watch = new MemoryWatch(services());
    for (let rounds = 0; rounds < 2; rounds++) {
      expect((await round()).map(({ status }) => status)).toEqual(Array(inParallel).fill(200));
      upstream.requests.length = 0;
    }
    expect(watch.riseMb).toBeLessThan(400);
  });
});

describe("a client that leaves in the middle of a large answer", () => {
  it.each(["legacy", "modern"])("ends it at the upstream too, in the %s era", async (era) => {
    const left = Promise.withResolvers<void>();
    upstream.handler = async (_request, response) => {
      response.once("close", () => left.resolve());
      response.writeHead(200, { "content-type": "application/json" });
      while (!response.destroyed) {
        if (!response.write(filler.slice(0, mebibyte))) {
          await Promise.race(
            ["drain", "close"].map((event) => new Promise((resolve) => response.once(event, resolve))),
          );
        }
      }
    };
    const headers = era === "modern" ? { "mcp-protocol-version": "2026-07-28" } : legacyHeaders;
    const reader = await listen({ ...to("plain", call(1, "endless")), headers });
    await new Promise((resolve) => reader.response.once("data", resolve));
    reader.leave();
    await left.promise;
    upstream.handler = answerLarge;
  });
});

describe("a body over the limit", () => {
  it("of 32 MiB is answered 413 and nothing of it is forwarded, announced or chunked (A13)", async () => {
    upstream.requests.length = 0;
    const body = Buffer.from(JSON.stringify(call(1, "up-over", { filler: "x".repeat(32 * mebibyte) })));
    const announced = await send(to("plain", body)).catch((error: unknown) => error);
    if (!(announced instanceof Error)) expect(announced).toMatchObject({ status: 413 });
    const { status, body: text } = await sendChunked(body);
    expect(status).toBe(413);
    expect(JSON.parse(text)).toMatchObject({ error: { code: 1413, data: { error: "payload_too_large" } } });
    expect(upstream.requests).toEqual([]);
  });
});

/** Sends a body without its length, reading the answer as soon as it comes. */
async function sendChunked(body: Buffer): Promise<{ status: number; body: string }> {
  const { request } = await import("node:http");
  const { promise, resolve, reject } = Promise.withResolvers<{ status: number; body: string }>();
  const headers = { "content-type": "application/json", "x-agent-api-key": house.key("a-1") };
  const sent = request(`${house.house.url}/mcp/plain`, { method: "POST", headers }, (response) => {
    response.setEncoding("utf8");
    let text = "";
    response.on("data", (chunk: string) => (text += chunk));
    response.on("close", () => resolve({ status: response.statusCode ?? 0, body: text }));
  });
  sent.on("error", reject);
  for (let at = 0; at < body.length; at += mebibyte) sent.write(body.subarray(at, at + mebibyte));
  sent.end();
  return promise;
}

describe("the signature that an upstream verifies with node:crypto alone", () => {
  const tolerance = 300;
  const timestampOf = ({ headers }: ReceivedRequest) => {
    const text = String(headers["x-timestamp"]);
    expect(text).toMatch(/^\d+$/);
    expect(Math.abs(Date.now() / 1000 - Number(text))).toBeLessThan(tolerance);
    return text;
  };
  const hmac = (secret: string, lines: string[]) => createHmac("sha256", secret).update(lines.join("\n")).digest("hex");

  it("covers method, path and timestamp in the mode auth-gateway (A33)", async () => {
    await send(to("plain", call(1, "up-plain")));
    const received = requestOf("up-plain");
    if (received === undefined) throw new Error("nothing arrived");
    expect(received.headers["x-api-key-id"]).toBe("key-auth-gateway");
    expect(received.headers["x-signature"]).toBe(hmac(secrets.SIGNING_PLAIN, ["POST", "/mcp", timestampOf(received)]));
  });

  it.each([
    ["small", "x"],
    ["20 MB", filler],
  ])("covers query, nonce and the very bytes that were sent in the mode strict: %s body (A33)", async (name, text) => {
    const tool = `up-strict-${name}`;
    const body = Buffer.from(
      `{ "jsonrpc":"2.0","id" : 1, "method":"tools\\/call","params":${JSON.stringify({ name: tool, arguments: { text } })}}`,
    );
    expect((await send(to("strict", body))).status).toBe(200);
    const received = requestOf(tool);
    if (received === undefined) throw new Error("nothing arrived");
    const { headers } = received;
    expect(hash(received.body)).toBe(hash(body));
    expect(headers["x-content-sha256"]).toBe(hash(received.body));
    const lines = [
      "POST",
      "/mcp/in%20side",
      "tenant=acme&x=%20",
      timestampOf(received),
      String(headers["x-nonce"]),
      hash(received.body),
    ];
    expect(received.url).toBe("/mcp/in%20side?tenant=acme&x=%20");
    expect(headers["x-signature"]).toBe(hmac(secrets.SIGNING_STRICT, ["SLUICE-HMAC-SHA256", ...lines]));
  });

  it("never repeats a nonce, and covers the empty body of GET and DELETE (A33)", async () => {
    upstream.requests.length = 0;
    const methods = ["GET", "DELETE", "GET"] as const;
    for (const method of methods) await send({ ...to("strict", undefined), method }).catch(() => {});
    const nonces = new Set(upstream.requests.map(({ headers }) => String(headers["x-nonce"])));
    expect(nonces.size).toBe(methods.length);
    for (const received of upstream.requests) {
      const lines = [
        "SLUICE-HMAC-SHA256",
        received.method,
        "/mcp/in%20side",
        "tenant=acme&x=%20",
        timestampOf(received),
        String(received.headers["x-nonce"]),
        hash(""),
      ];
      expect(received.headers["x-signature"]).toBe(hmac(secrets.SIGNING_STRICT, lines));
    }
  });
});
