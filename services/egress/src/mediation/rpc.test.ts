import { expect, test } from "vitest";
import { parseJson, resultOf, RpcError } from "./rpc.ts";

const again = (json: string) => JSON.stringify(parseJson(Buffer.from(json)));

test.each([
  '{"n":12345678901234567890}',
  '{"n":[1.00000000000000000001,-0.1,1e400,0,3]}',
  '{"__proto__":{"polluted":true},"constructor":1}',
  '{"text":"\\ud83d\\ude00","empty":{}}'.replaceAll("\\ud83d\\ude00", "😀"),
])("%s is the same after reading and writing", (json) => {
  expect(again(json)).toBe(json);
  expect(({} as { polluted?: boolean }).polluted).toBeUndefined();
});

test.each(["", "{", "[1,]", "NaN"])("%j is told as the upstream's failure", (json) => {
  expect(() => parseJson(Buffer.from(json))).toThrow(expect.objectContaining({ kind: "upstream_failed" }));
});

test("an error answer keeps code, message and data; a broken one becomes an internal error", () => {
  const read = (error: object) => {
    try {
      resultOf({ jsonrpc: "2.0", id: 1, error });
    } catch (thrown) {
      return (thrown as RpcError).body;
    }
    return undefined;
  };
  expect(read({ code: -32602, message: "no", data: { a: 1 } })).toEqual({
    code: -32602,
    message: "no",
    data: { a: 1 },
  });
  expect(read({ code: "x" })).toEqual({ code: -32603, message: "" });
});
