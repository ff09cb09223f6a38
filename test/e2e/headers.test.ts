import { createHash } from "node:crypto";
import { FakeUpstream, answerEcho, startTestHouse, type ReceivedRequest, type TestHouse } from "@sluice/testing";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { as, json, send, sendRaw, toolCall } from "./http.ts";

let house: TestHouse;
let upstream: FakeUpstream;
const initialize = JSON.stringify({ jsonrpc: "2.0", id: 1, method: "initialize", params: {} });
const call = toolCall("read_file");

/** Header names that an operator may not let through, asked for all the same. */
const greedy = [
  ...[
    "authorization",
    "cookie",
    "x-agent-api-key",
    "x-team-key",
    "proxy-authorization",
    "x-verified-agent-id",
    "x-forwarded-for",
    "forwarded",
  ],
  ...[
    "x-api-key-id",
    "x-signature",
    "x-timestamp",
    "nats-msg-id",
    "host",
    "x-real-ip",
    "traceparent",
    "mcp-session-id",
    "x-request-id",
  ],
];

beforeAll(async () => {
  upstream = await FakeUpstream.start((request, response) => {
    if (request.message?.method === "initialize") response.setHeader("mcp-session-id", "upstream-session");
    if (request.method === "GET") {
      response
        .writeHead(200, { "content-type": "text/event-stream" })
        .end('data: {"jsonrpc":"2.0","method":"notifications/message"}\n\n');
    } else answerEcho(request, response);
  });
  const signing = { keyId: "sluice-1", secret: "${env:SIGNING_SECRET}" };
  const accessRules = [{ agentPattern: "*", allowedTools: ["read_file"] }];
  const endpoints = [
    { name: "main", url: upstream.url, signing },
    { name: "greedy", url: upstream.url, forwardHeaders: greedy },
  ];
  house = await startTestHouse({
    env: { SIGNING_SECRET: "kL3v9Qz7Xw2Rt8Ym5Np4Bd6Hc1Jg0Fs" },
    tenants: {
      acme: { agents: ["a-1"], mcp: { endpoints }, accessRules },
      team: {
        agents: ["t-1"],
        authentication: [{ type: "apiKey", headerName: "X-Team-Key" }],
        mcp: { endpoints: [endpoints[1]] },
        accessRules,
      },
    },
  });
});
afterAll(async () => {
  await house?.[Symbol.asyncDispose]();
  await upstream?.[Symbol.asyncDispose]();
});
beforeEach(() => void upstream.requests.splice(0));

const mcp = () => `${house.house.url}/mcp`;
const valuesOf = (request: ReceivedRequest | undefined, name: string) =>
  request?.rawHeaders.filter((_value, index, all) => index % 2 === 1 && all[index - 1]?.toLowerCase() === name) ?? [];
const namesOf = (request: ReceivedRequest | undefined) =>
  request?.rawHeaders.filter((_value, index) => index % 2 === 0).map((name) => name.toLowerCase()) ?? [];

describe("what an upstream receives", () => {
  it("A5: no byte of the client's key, bearer, cookie, proxy credential or query string is in it: POST, large POST, GET and DELETE", async () => {
    const key = house.key("a-1");
    const canary = "canary-7f3a9c";
    const others = {
      cookie: `sid=${canary}`,
      "proxy-authorization": `Basic ${canary}`,
      "x-request-id": "kept-1",
      "x-other-key": canary,
    };
    for (const credential of [{ "x-agent-api-key": key }, { authorization: `Bearer ${key}` }]) {
      for (const server of ["main", "greedy"]) {
        const url = `${mcp()}/${server}?api_key=${key}&canary=${canary}`;
        const headers = { ...json, ...credential, ...others };
        const opened = await send(url, { headers, body: initialize });
        expect(opened.status).toBe(200);
        const session = { "mcp-session-id": String(opened.headers["mcp-session-id"]) };
        expect(
          (
            await send(url, {
              headers: { ...headers, ...session },
              body: toolCall("read_file", { filler: "x".repeat(700_000) }),
            })
          ).status,
        ).toBe(200);
        expect((await send(url, { method: "GET", headers: { ...headers, ...session } })).status).toBe(200);
        expect((await send(url, { method: "DELETE", headers: { ...headers, ...session } })).status).toBeLessThan(300);
      }
    }
    expect(upstream.requests).toHaveLength(16);
    const hash = createHash("sha256").update(key);
    for (const secret of [
      key,
      Buffer.from(key).toString("base64").slice(0, -4),
      hash.copy().digest("hex"),
      hash.digest("base64"),
      canary,
    ]) {
      expect(upstream.everything).not.toContain(secret);
    }
    expect(upstream.everything).toContain("kept-1");
  });

  it("A5: a key in a header that the tenant named is not forwarded even where the endpoint asks for that header", async () => {
    const key = house.key("t-1", "team");
    expect((await send(mcp(), { headers: { ...json, "x-team-key": key }, body: call })).status).toBe(200);
    expect(upstream.requests).toHaveLength(1);
    expect(upstream.everything).not.toContain(key);
  });

  it("A5: the client's credentials are not even on an answer, and no cookie of the upstream reaches the client", async () => {
    upstream.handler = (request, response) => {
      response.setHeader("set-cookie", "upstream=1").setHeader("access-control-allow-origin", "*");
      answerEcho(request, response);
    };
    const answer = await send(mcp(), { headers: as(house.key("a-1")), body: call });
    upstream.handler = answerEcho;
    expect(answer.status).toBe(200);
    expect(answer.everything).not.toContain(house.key("a-1"));
    expect(answer.headers["set-cookie"]).toBeUndefined();
  });

  it("A18: no answer allows every origin, be it JSON or a stream of an upstream that does", async () => {
    const cors = {
      "access-control-allow-origin": "*",
      "Access-Control-Allow-Credentials": "true",
      "access-control-expose-headers": "*",
    };
    for (const type of ["application/json", "text/event-stream"]) {
      upstream.handler = ({ message }, response) => {
        const text = JSON.stringify({ jsonrpc: "2.0", id: message?.id, result: {} });
        response
          .writeHead(200, { "content-type": type, ...cors })
          .end(type === "application/json" ? text : `data: ${text}\n\n`);
      };
      const answer = await send(mcp(), {
        headers: as(house.key("a-1"), { origin: "http://localhost:3000" }),
        body: call,
      });
      expect(answer.status).toBe(200);
      expect(answer.headers["content-type"]).toContain(type);
      expect(answer.everything).not.toMatch(/access-control-/i);
    }
    upstream.handler = answerEcho;
  });

  const spoofed: Record<string, string[]> = {
    "x-verified-agent-id": ["admin-1", "admin-2"],
    "X-VERIFIED-AGENT-NAME": ["Admin"],
    "X-Verified-Agent-Owner": ["evil"],
    "x-verified-agent-role": ["spoof-role"],
    x_verified_agent_id: ["spoof-underscore"],
    "x-verified_agent-id": ["spoof-mixed"],
    "X-Forwarded-For": ["6.6.6.6"],
    "x-forwarded-host": ["evil.example"],
    "x-forwarded-proto": ["https"],
    "x-forwarded-user": ["admin-1"],
    Forwarded: ["for=6.6.6.6"],
    "x-real-ip": ["6.6.6.6"],
    "x-api-key-id": ["spoof-key-id"],
    "x-signature": ["spoof-signature", "spoof-signature-2"],
    "x-timestamp": ["1"],
    "x-nonce": ["spoof-nonce"],
    "x-content-sha256": ["spoof-sha"],
    "Nats-Msg-Id": ["spoof-nats"],
    "nats-rollup": ["all"],
    "Nats-Expected-Stream": ["AUDIT"],
    Cookie: ["spoof=1"],
    "accept-encoding": ["gzip"],
    "x-http-method-override": ["DELETE"],
  };

  it("A15: spoofed identity, forwarding, signature, bus and cookie headers are gone; Sluice's own stand there once", async () => {
    for (const server of ["main", "greedy"]) {
      for (const connection of ["close", "close, x-verified-agent-id, x-signature, traceparent"]) {
        expect(
          (await send(`${mcp()}/${server}`, { headers: as(house.key("a-1"), { ...spoofed, connection }), body: call }))
            .status,
        ).toBe(200);
      }
    }
    expect(upstream.requests).toHaveLength(4);
    for (const request of upstream.requests) {
      expect(valuesOf(request, "x-verified-agent-id")).toEqual(["a-1"]);
      expect(valuesOf(request, "x-verified-agent-name")).toEqual(["Agent a-1"]);
      expect(valuesOf(request, "x-verified-agent-owner")).toEqual(["tests"]);
      const names = namesOf(request);
      expect(
        names.filter((name) =>
          /_|^x-forwarded|^forwarded$|^x-real|^nats-|cookie|override|^x-nonce|^x-content-sha|role/.test(name),
        ),
      ).toEqual([]);
      expect(new Set(names).size, "each name once").toBe(names.length);
      expect(valuesOf(request, "accept-encoding")).toEqual(["identity"]);
      for (const values of Object.values(spoofed))
        for (const value of values) if (value.length > 4) expect(request.rawHeaders.join("\n")).not.toContain(value);
    }
    const [signed, , unsigned] = upstream.requests;
    expect(valuesOf(signed, "x-api-key-id")).toEqual(["sluice-1"]);
    expect(valuesOf(signed, "x-signature")).toHaveLength(1);
    expect(Number(valuesOf(signed, "x-timestamp")[0])).toBeGreaterThan(1_000_000_000);
    expect(namesOf(unsigned).filter((name) => /^x-(api-key-id|signature|timestamp)$/.test(name))).toEqual([]);
  });

  it("A15: a spoofed identity changes nothing in what is decided", async () => {
    const headers = as(house.key("a-1"), {
      "x-verified-agent-id": "admin-1",
      x_verified_agent_id: "admin-1",
      "x-forwarded-user": "admin-1",
    });
    const answer = await send(mcp(), { headers, body: toolCall("execute_code") });
    expect(answer.status).toBe(403);
    expect(JSON.parse(answer.text).error.data.message).toBe(
      "Agent 'a-1' is not authorized to invoke tool 'execute_code'",
    );
    expect(upstream.requests).toEqual([]);
  });
});

describe("what a request must look like on the wire", () => {
  const smuggled = "POST /mcp HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n";
  const head = (...lines: string[]) =>
    [
      "POST /mcp HTTP/1.1",
      "Host: 127.0.0.1",
      "Content-Type: application/json",
      `x-agent-api-key: ${house.key("a-1")}`,
      ...lines,
    ].join("\r\n") + "\r\n\r\n";
  const n = Buffer.byteLength(call);
  const chunked = `${n.toString(16)}\r\n${call}\r\n0\r\n\r\n`;

  const ambiguous: Record<string, () => string> = {
    "Content-Length and Transfer-Encoding": () =>
      head(`Content-Length: ${n}`, "Transfer-Encoding: chunked") + chunked + smuggled,
    "Transfer-Encoding and Content-Length": () =>
      head("Transfer-Encoding: chunked", `Content-Length: ${n}`) + chunked + smuggled,
    "two Content-Length that differ": () => head(`Content-Length: ${n}`, "Content-Length: 0") + call + smuggled,
    "two Content-Length that agree": () => head(`Content-Length: ${n}`, `Content-Length: ${n}`) + call + smuggled,
    "a list as Content-Length": () => head(`Content-Length: ${n}, ${n}`) + call + smuggled,
    "a signed Content-Length": () => head(`Content-Length: +${n}`) + call + smuggled,
    "a hexadecimal Content-Length": () => head("Content-Length: 0x10") + call + smuggled,
    "a negative Content-Length": () => head("Content-Length: -1") + call + smuggled,
    "Transfer-Encoding that does not end with chunked": () =>
      head("Transfer-Encoding: chunked, identity") + chunked + smuggled,
    "Transfer-Encoding in disguise": () => head("Transfer-Encoding: xchunked") + chunked + smuggled,
    "two Transfer-Encoding": () =>
      head("Transfer-Encoding: chunked", "Transfer-Encoding: identity") + chunked + smuggled,
    "a space before the colon": () => head(`Content-Length : ${n}`) + call + smuggled,
    "a folded header": () => head("x-folded: a", " b", `Content-Length: ${n}`) + call + smuggled,
    "a bare LF after a header": () =>
      head(`Content-Length: ${n}`).replace("Host: 127.0.0.1\r\n", "Host: 127.0.0.1\n") + call + smuggled,
    "a bare LF after the request line": () =>
      head(`Content-Length: ${n}`).replace("HTTP/1.1\r\n", "HTTP/1.1\n") + call + smuggled,
    "a bare LF after the head": () => head(`Content-Length: ${n}`).replace(/\r\n\r\n$/, "\r\n\n") + call + smuggled,
    "a bare CR in a header": () => head("x-evil: a\rx-agent-api-key: b", `Content-Length: ${n}`) + call + smuggled,
    "NUL in a header": () => head("x-evil: a\0b", `Content-Length: ${n}`) + call + smuggled,
    "a bare LF after a chunk's size": () =>
      head("Transfer-Encoding: chunked") + chunked.replace("\r\n", "\n") + smuggled,
    "a chunk's size with a prefix": () => head("Transfer-Encoding: chunked") + `0x${chunked}` + smuggled,
    "no Host": () => head(`Content-Length: ${n}`).replace("Host: 127.0.0.1\r\n", "") + call + smuggled,
    "two Hosts": () => head("Host: evil.example", `Content-Length: ${n}`) + call + smuggled,
    "another version of HTTP": () => head(`Content-Length: ${n}`).replace("HTTP/1.1", "HTTP/3.7") + call + smuggled,
  };

  for (const [name, bytes] of Object.entries(ambiguous)) {
    it(`A16: ${name} answers 400 once and closes; nothing is forwarded`, async () => {
      const { statuses } = await sendRaw(mcp(), bytes());
      expect(statuses).toEqual([400]);
      expect(upstream.requests).toEqual([]);
    });
  }

  it("A16: the same request with plain framing passes", async () => {
    for (const bytes of [
      head(`Content-Length: ${n}`, "Connection: close") + call,
      head("Transfer-Encoding: chunked", "Connection: close") + chunked,
    ]) {
      expect((await sendRaw(mcp(), bytes)).statuses).toEqual([200]);
    }
    expect(upstream.requests).toHaveLength(2);
  });

  const spellings = [
    ...[
      "//mcp",
      "/mcp//",
      "/mcp;x",
      "/mcp;x=1",
      "/%6dcp",
      "/%6Dcp",
      "/mcp%2f",
      "/mcp%00",
      "/mcp/../mcp",
      "/mcp/./main",
      "/./mcp",
      "/x/../mcp",
      "/MCP",
      "/Mcp",
    ],
    ...[
      "/mcp/",
      "/mcp/main/",
      "/mcp/MAIN",
      "/mcp/%6dain",
      "/mcp/main%2f..%2fgreedy",
      "/mcp/..%2fmcp",
      "/mcp\\main",
      "/mcp%5cmain",
      "/%2fmcp",
      "/mcp?x",
      "/mcp#x",
      "/mcp%3fx",
      "/mcp/__proto__",
    ],
    ...[
      "/mcp%20",
      "/mcp.",
      "/mcp.json",
      "/mcp/constructor",
      "/%25%36%64cp",
      "http://127.0.0.1/mcp",
      "http://evil.example/mcp",
      "*",
    ],
  ];
  it.each(spellings)("A16: the path %s meets the same authentication and the same policy, or 404", async (path) => {
    const raw = (key: string, body: string) =>
      sendRaw(
        mcp(),
        `POST ${path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\nContent-Type: application/json\r\n${key}Content-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
      );
    expect((await raw("", call)).statuses, "without a key").toEqual([401]);
    const [status] = (await raw(`x-agent-api-key: ${house.key("a-1")}\r\n`, toolCall("execute_code"))).statuses;
    expect([403, 404], "a tool that is denied").toContain(status);
    expect(upstream.requests).toEqual([]);
  });
});
