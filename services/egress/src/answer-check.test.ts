import { describe, expect, it } from "vitest";
import { checkAnswer } from "./answer-check.ts";

const check = (text: string, rpcId = "1", status = 200) => checkAnswer(Buffer.from(text), status, rpcId);
const result = (id: string) => `{"jsonrpc":"2.0","id":${id},"result":{}}`;

describe("the answer to a request", () => {
  it.each([
    ["the same number", "1", "1"],
    ["the same number in another spelling", "1.0", "1"],
    ["the same large number, as far as JavaScript can tell", "12345678901234567890", "12345678901234567000"],
    ["the same text", '"a-é"', '"a-é"'],
    ["the same text in another spelling", '"a-é"', '"a-\\u00e9"'],
  ])("has %s as its id", (_what, sent, given) => {
    expect(check(result(given), sent)).toEqual({ answers: sent, isError: false, said: Buffer.from("{}") });
  });

  it.each([
    ["another number", "1", "2"],
    ["its id as a text", "1", '"1"'],
    ["its id as a number", '"1"', "1"],
    ["no id but null", "1", "null"],
    ["a list as its id", "1", "[1]"],
  ])("with %s is refused (A40)", (_what, sent, given) => {
    expect(() => check(result(given), sent)).toThrow("answered another request");
  });

  it.each([
    ["nothing", ""],
    ["a page", "<html></html>"],
    ["half an answer", '{"jsonrpc":"2.0","id":1,"resu'],
    ["two answers", result("1") + result("1")],
  ])("that is %s is refused (A40)", (_what, text) => {
    expect(() => check(text)).toThrow("no JSON");
  });

  it.each([
    ["a list", `[${result("1")}]`],
    ["a text", '"ok"'],
    ["neither result nor error", '{"jsonrpc":"2.0","id":1}'],
    ["a request", '{"jsonrpc":"2.0","id":1,"method":"ping"}'],
  ])("that is %s is refused (A40)", (_what, text) => {
    expect(() => check(text)).toThrow("no JSON-RPC answer");
  });

  it("may be an error, also without an id", () => {
    const error = '"error":{"code":-32600,"message":"no"}';
    for (const id of ['"id":1,', '"id":null,', ""])
      expect(check(`{"jsonrpc":"2.0",${id}${error}}`)).toMatchObject({ answers: "1", isError: true });
    expect(() => check(`{"jsonrpc":"2.0","id":2,${error}}`)).toThrow("another request");
  });

  it("says whether a tool failed", () => {
    expect(check('{"jsonrpc":"2.0","id":1,"result":{"isError":true}}')?.isError).toBe(true);
  });

  it("is its sender's own matter when its status says that it failed", () => {
    expect(check("<html></html>", "1", 500)).toMatchObject({ answers: undefined });
    expect(check(result("7"), "1", 404)).toMatchObject({ answers: "7" });
  });

  it("is not due to a notification", () => {
    expect(checkAnswer(Buffer.from("Accepted"), 202, undefined)).toBeUndefined();
  });

  it("passes when it is JSON that is read differently by different readers", () => {
    expect(check('{"jsonrpc":"2.0","id":1,"result":{"a":1,"a":2}}')?.answers).toBeUndefined();
  });
});
