import { FakeUpstream, startTestHouse, type TestHouse } from "@sluice/testing";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { sendRaw, toolCall } from "./http.ts";

let house: TestHouse;
let upstream: FakeUpstream;
const call = toolCall("read_file");

beforeAll(async () => {
  upstream = await FakeUpstream.start();
  const endpoints = ["main", "greedy"].map((name) => ({ name, url: upstream.url }));
  const accessRules = [{ agentPattern: "*", allowedTools: ["read_file"] }];
  house = await startTestHouse({ tenants: { acme: { agents: ["a-1"], mcp: { endpoints }, accessRules } } });
});
afterAll(async () => {
  await house?.[Symbol.asyncDispose]();
  await upstream?.[Symbol.asyncDispose]();
});
beforeEach(() => void upstream.requests.splice(0));

const mcp = () => `${house.house.url}/mcp`;

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
    "two Authorization": () =>
      head("Authorization: Bearer one", "Authorization: Bearer other", `Content-Length: ${n}`) + call + smuggled,
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
