import { createHash } from "node:crypto";
import { FakeUpstream, answerEcho, startTestHouse, type ReceivedRequest, type TestHouse } from "@sluice/testing";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { as, json, send, toolCall } from "./http.ts";

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
    { name: "main", url: upstream.url, signing, listCacheSeconds: 0 },
    { name: "greedy", url: upstream.url, listCacheSeconds: 0, forwardHeaders: greedy },
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
      const answer = await send(`${mcp()}/main`, {
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
