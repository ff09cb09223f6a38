import { gzipSync } from "node:zlib";
import { FakeUpstream, startTestHouse, type TestHouse } from "@sluice/testing";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { BusSpy } from "./bus-spy.ts";
import { as, refusal, send, sendRaw, toolCall, type Answer } from "./http.ts";

let house: TestHouse;
let upstream: FakeUpstream;
let spy: BusSpy;
const smallLimit = 2_048;
const call = toolCall("read_file");

beforeAll(async () => {
  upstream = await FakeUpstream.start();
  const mcp = { endpoints: [{ name: "main", url: upstream.url }] };
  const accessRules = [
    { agentPattern: "*", allowedTools: ["read_file", "landmark-*", "ops__*"], deniedTools: ["execute_code"] },
  ];
  house = await startTestHouse({
    tenants: {
      acme: { agents: ["a-1"], mcp, accessRules },
      small: { agents: ["s-1"], mcp, accessRules, settings: { max_payload_bytes: smallLimit } },
    },
  });
  spy = await BusSpy.open(house);
});
afterAll(async () => {
  await spy?.[Symbol.asyncDispose]();
  await house?.[Symbol.asyncDispose]();
  await upstream?.[Symbol.asyncDispose]();
});
beforeEach(async () => {
  await spy.heard(landmark);
  upstream.requests.splice(0);
});

const mcp = () => `${house.house.url}/mcp`;
const post = (body: string | Buffer, headers: Record<string, string> = {}) =>
  send(mcp(), { headers: as(house.key("a-1"), headers), body });
const landmark = (tool: string) => post(toolCall(tool));
const errorOf = ({ text }: Answer) =>
  JSON.parse(text).error as { code: number; message: string; data: Record<string, unknown> };

async function expectNothingPassed() {
  expect(await spy.heard(landmark)).toEqual([]);
  expect(upstream.requests.map(({ message }) => message?.params?.["name"])).toEqual([spy.landmark]);
}

const parts = (more: string) => `{"jsonrpc":"2.0","id":1,${more}}`;
const params = (more: string) => parts(`"method":"tools/call","params":{${more}}`);

describe("size and depth", () => {
  const sized = (bytes: number) =>
    toolCall("read_file", { x: "" }).replace(
      '"x":""',
      `"x":"${"y".repeat(bytes - toolCall("read_file", { x: "" }).length)}"`,
    );
  const small = (body: string | string[]) => send(mcp(), { headers: as(house.key("s-1", "small")), body });
  const tooLarge = refusal(1413, {
    error: "payload_too_large",
    message: `the body is larger than ${smallLimit} bytes`,
  });

  it("A13: a body of exactly the limit passes; one byte more answers 413, with Content-Length and in chunks", async () => {
    const exact = sized(smallLimit);
    expect([(await small(exact)).status, (await small([exact.slice(0, 9), exact.slice(9)])).status]).toEqual([
      200, 200,
    ]);
    expect(upstream.requests.map(({ body }) => body.toString())).toEqual([exact, exact]);
    const over = sized(smallLimit + 1);
    for (const answer of [
      await small(over),
      await small([over.slice(0, 9), over.slice(9)]),
      await small([over, "x"]),
    ]) {
      expect(answer.status).toBe(413);
      expect(JSON.parse(answer.text)).toEqual(tooLarge);
      expect(answer.headers["retry-after"]).toBeUndefined();
    }
    expect(upstream.requests).toHaveLength(2);
  });

  it("A13: a body that only announces to be too large is refused before it is sent, and the connection closes", async () => {
    const head = `POST /mcp HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nx-agent-api-key: ${house.key("s-1", "small")}\r\n`;
    for (const length of [smallLimit + 1, 10_000_000_000]) {
      expect((await sendRaw(mcp(), `${head}Content-Length: ${length}\r\n\r\n`)).statuses).toEqual([413]);
    }
    const endless = await sendRaw(
      mcp(),
      `${head}Transfer-Encoding: chunked\r\n\r\n${`400\r\n${"z".repeat(1_024)}\r\n`.repeat(3)}`,
    );
    expect(endless.statuses).toEqual([413]);
    await expectNothingPassed();
  });

  const depth = 10_000;
  const wide = `[${"1,".repeat(2 * 1024 * 1024)}1]`;
  const bad: Record<string, string> = {
    "an array of 4 MiB": wide,
    "an array of 4 MiB of objects": `[${"{},".repeat(1_400_000)}{}]`,
    "arrays nested 10,000 deep": "[".repeat(depth) + "]".repeat(depth),
    "objects nested 10,000 deep": '{"a":'.repeat(depth) + "1" + "}".repeat(depth),
    "arguments nested 10,000 deep": params(`"name":"read_file","arguments":${"[".repeat(depth)}${"]".repeat(depth)}`),
    "4 MiB of opening brackets": "[".repeat(4 * 1024 * 1024),
    "an empty batch": "[]",
    "a batch with a key twice": `[${call},{"jsonrpc":"2.0","id":2,"id":3,"method":"ping"}]`,
    "an empty body": "",
    "half a message": call.slice(0, -1),
    "two messages": call + call,
    "a number of 100,000 digits": params(`"name":"read_file","arguments":{"n":${"9".repeat(100_000)}}`),
  };
  it.each(Object.entries(bad))("A13: %s answers 400 and is not forwarded", async (_name, body) => {
    const answer = await post(body);
    expect(answer.status).toBe(400);
    expect(errorOf(answer).data["error"]).toMatch(/^(parse_error|invalid_request)$/);
    expect(answer.text.length).toBeLessThan(1_000);
    await expectNothingPassed();
  });

  it("A13: while a body of 30 MB is read, calls that come after its last byte are answered before it", async () => {
    const sent = Promise.withResolvers<void>();
    const body = `{"a":[${"1,".repeat(15_000_000)}1]}`;
    let reading = true;
    const huge = send(mcp(), { headers: as(house.key("a-1")), body, onSent: sent.resolve }).finally(
      () => (reading = false),
    );
    await sent.promise;
    let answeredMeanwhile = 0;
    while (reading) {
      expect((await post(call)).status).toBe(200);
      if (reading) answeredMeanwhile++;
    }
    expect((await huge).status).toBe(400);
    expect(answeredMeanwhile).toBeGreaterThan(4);
  });

  const polluting = [
    '{"jsonrpc":"2.0","id":1,"__proto__":{"isAdmin":true,"ok":true,"allowedTools":["*"]},"method":"tools/call","params":{"name":"read_file"}}',
    params('"name":"read_file","__proto__":{"name":"execute_code","polluted":1}'),
    params(
      '"name":"read_file","arguments":{"__proto__":{"polluted":1},"constructor":{"prototype":{"polluted":1}},"a":[{"__proto__":{"__proto__":{"ok":true}}}]}',
    ),
    params('"name":"read_file","_meta":{"__proto__":{"polluted":1},"constructor":{"prototype":{"ok":true}}}'),
    params(
      '"name":"read_file","arguments":{"\\u005f_proto__":{"polluted":1},"prototype":1,"toString":null,"hasOwnProperty":0}',
    ),
    parts('"constructor":{"prototype":{"target":"read_file"}},"method":"tools/call","params":{"name":"read_file"}'),
  ];
  it.each(polluting)("A13: %s is forwarded byte for byte and changes nothing for later calls", async (body) => {
    expect((await post(body)).status).toBe(200);
    expect(upstream.requests.map((request) => request.body.toString())).toEqual([body]);
    const denied = await post(toolCall("execute_code"));
    expect(denied.status).toBe(403);
    expect(Object.keys(errorOf(denied).data)).toEqual(["error", "message", "allowedTools"]);
    for (const { health } of house.house.replicas)
      expect((await send(`${health}/health`, { method: "GET" })).text).not.toMatch(/polluted|isAdmin/);
  });

  it("A13: __proto__ and constructor as method, id or session are only names", async () => {
    for (const name of ["__proto__", "constructor", "toString"]) {
      expect((await post(JSON.stringify({ jsonrpc: "2.0", id: name, method: name }))).status, name).toBe(200);
      expect((await post(call, { "mcp-session-id": name })).status, name).toBe(404);
    }
    expect((await post(toolCall("execute_code"))).status).toBe(403);
  });
});

describe("kinds of content", () => {
  const types = [
    ...[
      "",
      "text/plain",
      "text/json",
      "application/jsonp",
      "application/json5",
      "application/vnd.api+json",
      "application/x-www-form-urlencoded",
      "multipart/form-data; boundary=x",
    ],
    ...[
      "application/json, text/plain",
      "text/plain, application/json",
      "application/json; charset=utf-16",
      "application/json; charset=latin1",
      "application/json; charset=utf-8; charset=utf-16",
      "application/json;",
      "application /json",
      "json",
      "*/*",
      "application/json\u00a0",
    ],
  ];
  it.each(types)('A14: Content-Type "%s" answers 415 and is not forwarded', async (type) => {
    const answer = await post(call, { "content-type": type });
    expect(answer.status).toBe(415);
    expect(errorOf(answer)).toEqual({
      code: 1415,
      message: errorOf(answer).message,
      data: { error: "unsupported_media_type", message: errorOf(answer).message },
    });
    await expectNothingPassed();
  });

  it("A14: no Content-Type at all answers 415", async () => {
    expect((await send(mcp(), { headers: { "x-agent-api-key": house.key("a-1") }, body: call })).status).toBe(415);
    await expectNothingPassed();
  });

  it.each([
    "application/json",
    "application/json ; charset=utf-8",
    "Application/JSON;charset=UTF-8",
    'application/json; charset="utf-8"',
    "  application/json  ",
  ])('A14: Content-Type "%s" meets the same validation as any other', async (type) => {
    expect((await post(call, { "content-type": type })).status).toBe(200);
    expect((await post(toolCall("execute_code"), { "content-type": type })).status).toBe(403);
    expect((await post(params('"name":"read_file","name":"execute_code"'), { "content-type": type })).status).toBe(400);
    expect(upstream.requests).toHaveLength(1);
  });

  const encoded: Record<string, Buffer> = {
    "UTF-16 little-endian": Buffer.from(call, "utf16le"),
    "UTF-16 with a byte order mark": Buffer.concat([Buffer.from([0xff, 0xfe]), Buffer.from(call, "utf16le")]),
    "UTF-16 big-endian": Buffer.from(call, "utf16le").swap16(),
    "UTF-8 with a byte order mark": Buffer.from(`\ufeff${call}`),
    "UTF-7 and a broken byte": Buffer.concat([Buffer.from(call.slice(0, -3)), Buffer.from([0xc0, 0xaf])]),
    "an overlong name": Buffer.from(call.replace("read_file", "read\xc1\x9ffile"), "latin1"),
    "gzip without saying so": gzipSync(call),
  };
  it.each(Object.entries(encoded))("A14: %s answers 400 and is not forwarded", async (_name, body) => {
    expect((await post(body)).status).toBe(400);
    await expectNothingPassed();
  });

  it("A14: a gzip bomb, and every other Content-Encoding, answers 415 without being unpacked", async () => {
    const bomb = gzipSync(Buffer.alloc(64 * 1024 * 1024, 0x20));
    for (const encoding of [
      "gzip",
      "GZIP",
      "x-gzip",
      "deflate",
      "br",
      "zstd",
      "identity, gzip",
      "gzip, identity",
      "compress",
      " ",
    ]) {
      expect((await post(bomb, { "content-encoding": encoding })).status, encoding).toBe(415);
    }
    await expectNothingPassed();
  });
});
