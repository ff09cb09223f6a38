import { createHash } from "node:crypto";
import { expect, it } from "vitest";
import { answeredPart, digestOf, mostScannedBytes } from "./digest.ts";

const partOf = (text: string) => answeredPart(Buffer.from(text)).toString();

it.each([
  ['{"jsonrpc":"2.0","id":1,"result": {"a" : "\\u0041" } }', '{"a" : "\\u0041" }'],
  ['{"jsonrpc":"2.0","id":1,"error":{"code":-1}}', '{"code":-1}'],
  ['{"jsonrpc":"2.0","id":1,"result":null}', "null"],
])("the digest of a JSON-RPC answer is of its result's or error's own bytes: %s", (text, part) => {
  expect(partOf(text)).toBe(part);
});

it.each([
  '{"task":{"id":"t"}}',
  '{"result":1}',
  "<html>",
  '{"jsonrpc":"2.0","result":1,"result":2}',
  `{"jsonrpc":"2.0","result":"${"x".repeat(mostScannedBytes)}"}`,
])("the digest of anything else is of all of it", (text) => {
  expect(partOf(text)).toBe(text);
});

it("a digest over many slices is the one over all of it", async () => {
  const bytes = Buffer.from("0123456789abcdef".repeat(100_000));
  expect(await digestOf(bytes)).toBe(createHash("sha256").update(bytes).digest("hex"));
  expect(digestOf(bytes.subarray(0, 100))).toBe(createHash("sha256").update(bytes.subarray(0, 100)).digest("hex"));
});
