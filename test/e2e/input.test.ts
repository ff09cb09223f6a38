import { FakeUpstream, startTestHouse, type TestHouse } from "@sluice/testing";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { BusSpy } from "./bus-spy.ts";
import { as, refusal, send, toolCall, type Answer } from "./http.ts";

let house: TestHouse;
let upstream: FakeUpstream;
let spy: BusSpy;

beforeAll(async () => {
  upstream = await FakeUpstream.start();
  const mcp = { endpoints: [{ name: "main", url: upstream.url }] };
  const accessRules = [
    { agentPattern: "*", allowedTools: ["read_file", "landmark-*", "ops__*"], deniedTools: ["execute_code"] },
  ];
  house = await startTestHouse({
    tenants: { acme: { agents: ["a-1"], mcp, accessRules } },
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

/** A call whose parts can be told twice. */
const parts = (more: string) => `{"jsonrpc":"2.0","id":1,${more}}`;
const params = (more: string) => parts(`"method":"tools/call","params":{${more}}`);

describe("names that two readers may take differently", () => {
  const both = (one: string, two: string): string[] => [`${one},${two}`, `${two},${one}`];
  const twice: Record<string, string[]> = {
    method: both('"method":"tools/call","params":{"name":"read_file"}', '"method":"ping"').map(parts),
    "method, escaped": both('"method":"ping"', '"m\\u0065thod":"tools/call","params":{"name":"execute_code"}').map(
      parts,
    ),
    params: both('"method":"tools/call","params":{"name":"read_file"}', '"params":{"name":"execute_code"}').map(parts),
    "params, escaped": both(
      '"method":"tools/call","params":{"name":"read_file"}',
      '"p\\u0061rams":{"name":"execute_code"}',
    ).map(parts),
    name: both('"name":"read_file"', '"name":"execute_code"').map(params),
    "name, escaped": both('"name":"read_file"', '"n\\u0061me":"execute_code"').map(params),
    "name, wholly escaped": both('"name":"read_file"', '"\\u006E\\u0061\\u006d\\u0065":"execute_code"').map(params),
    "name, the same value": both('"name":"read_file"', '"name":"read_file"').map(params),
    id: ['{"jsonrpc":"2.0","id":1,"id":2,"method":"tools/call","params":{"name":"read_file"}}'],
    jsonrpc: ['{"jsonrpc":"2.0","jsonrpc":"1.0","id":1,"method":"tools/call","params":{"name":"read_file"}}'],
    "a member deep in the arguments": [params('"name":"read_file","arguments":{"a":[{"b":1,"b":2}]}')],
    "an escaped member deep in the arguments": [params('"name":"read_file","arguments":{"a":{"b\\u002fc":1,"b/c":2}}')],
    "Name in another case": both('"name":"read_file"', '"Name":"execute_code"').map(params),
    "NAME in another case, escaped": both('"name":"read_file"', '"N\\u0041ME":"execute_code"').map(params),
    "Method in another case": both('"method":"ping"', '"Method":"tools/call"').map(parts),
    "Params in another case": both(
      '"method":"tools/call","params":{"name":"read_file"}',
      '"PARAMS":{"name":"execute_code"}',
    ).map(parts),
    "name in full-width letters": both('"name":"read_file"', '"ｎａｍｅ":"execute_code"').map(params),
    "name with a zero-width space": both('"name":"read_file"', '"na\u200bme":"execute_code"').map(params),
    "name with an escaped NUL": both('"name":"read_file"', '"name\\u0000":"execute_code"').map(params),
    "method with the long s or Kelvin sign's like": both('"method":"ping"', '"PARAM\u017f":{}').map(parts),
  };
  it.each(Object.entries(twice))(
    "A9: %s told twice answers 400 in both orders and is not forwarded",
    async (_name, bodies) => {
      for (const body of bodies) {
        const answer = await post(body);
        expect(answer.status, body).toBe(400);
        expect(JSON.parse(answer.text), body).toEqual(
          refusal(-32700, { error: "parse_error", message: errorOf(answer).message }),
        );
        expect(answer.text).not.toContain("execute_code");
      }
      await expectNothingPassed();
    },
  );

  it("A9: a name spelled with escapes is that name: the call is decided so, and its bytes are forwarded as they came", async () => {
    const body = parts(
      '"m\\u0065thod":"tools\\/call","params":{"\\u006eame":"r\\u0065ad_file",  "arguments":{"x":1.0e0}}',
    );
    expect((await post(body)).status).toBe(200);
    expect(upstream.requests[0]?.body.toString()).toBe(body);
    const denied = await post(body.replace("r\\u0065ad_file", "\\u0065xecute_code"));
    expect(denied.status).toBe(403);
    expect(upstream.requests).toHaveLength(1);
  });
});

describe("tool names", () => {
  const lookAlikes = [
    ...[
      "READ_FILE",
      "Read_file",
      "read_filE",
      "ｒead_file",
      "read＿file",
      "read_ﬁle",
      "re\u0430d_file",
      "read_file\u0301",
      "rea\u0501_file",
    ],
    ...[
      "read\u200b_file",
      "read_file\u200d",
      "\ufeffread_file",
      "read_file\u2060",
      "\u202eread_file",
      "read\u00ad_file",
    ],
    ...["read_file ", " read_file", "read_file\t", "read_file\n", "read_file\r\n", "read_file\u00a0", "read file"],
    ...["read_file\u0000", "\u0000read_file", "read_file\u0000.txt", "read_\u0000file"],
    ...[
      "main/read_file",
      "main__read_file",
      "main.read_file",
      "main:read_file",
      "read_file/",
      "/read_file",
      "read-file",
      "read_file,landmark-*",
      "read_file;",
      "*",
      "read_*",
      "OPS__x",
      "ops_\u005fx".toUpperCase(),
    ],
    ...["__proto__", "constructor", "toString", "hasOwnProperty", "", "execute_code", "undefined", "null"],
  ];
  const escaped = (text: string) =>
    [...text]
      .map((letter) =>
        [...Array(letter.length).keys()]
          .map((at) => `\\u${letter.charCodeAt(at).toString(16).padStart(4, "0")}`)
          .join(""),
      )
      .join("");

  it.each(lookAlikes.map((name) => [JSON.stringify(name), name] as const))(
    "A11 P5: the tool %s is denied with the body of seed 001, raw and escaped",
    async (_shown, name) => {
      for (const spelled of [JSON.stringify(name), `"${escaped(name)}"`]) {
        const answer = await post(
          `{"jsonrpc":"2.0","id":"i-1","method":"tools/call","params":{"name":${spelled},"arguments":{}}}`,
        );
        expect(answer.status).toBe(403);
        const data = {
          error: "tool_access_denied",
          message: `Agent 'a-1' is not authorized to invoke tool '${name}'`,
          allowedTools: ["read_file", "landmark-*", "ops__*"],
        };
        expect(JSON.parse(answer.text)).toEqual(refusal(1403, data, "i-1"));
      }
      expect(upstream.requests).toEqual([]);
    },
  );

  it("A11: a name that is no string, or that is missing, answers 400 and is not forwarded", async () => {
    for (const name of ["1", "null", "true", '["read_file"]', '{"0":"read_file"}'])
      expect((await post(params(`"name":${name}`))).status, name).toBe(400);
    for (const body of [
      params('"arguments":{}'),
      parts('"method":"tools/call"'),
      parts('"method":"tools/call","params":["read_file"]'),
    ])
      expect((await post(body)).status, body).toBe(400);
    await expectNothingPassed();
  });

  it("A11: a method's name is compared byte by byte too: no look-alike of tools/call is taken for one, nor for an allowed call", async () => {
    for (const method of ["tools/call ", "tools/\u0000call", "ｔools/call", "tools/call\u200b", " tools/call"]) {
      expect(
        (await post(JSON.stringify({ jsonrpc: "2.0", id: 1, method, params: { name: "execute_code" } }))).status,
        JSON.stringify(method),
      ).toBe(400);
    }
    await expectNothingPassed();
  });
});
