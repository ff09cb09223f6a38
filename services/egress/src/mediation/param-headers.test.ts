import fc from "fast-check";
import { expect, test } from "vitest";
import { encodeHeaderValue } from "@sluice/relay";
import { decodeHeader, paramHeaders, paramNames, sameValue } from "./param-headers.ts";

test("what is encoded for a header is plain ASCII without spaces at its ends, and decodes to the same", () => {
  fc.assert(
    fc.property(fc.string({ unit: "binary", maxLength: 20 }), (value) => {
      const encoded = encodeHeaderValue(value);
      expect(encoded).toMatch(/^(?:[\x21-\x7e](?:[\x20-\x7e\t]*[\x21-\x7e])?)?$/);
      expect(decodeHeader(encoded)).toBe(Buffer.from(value, "utf8").toString("utf8"));
    }),
  );
});

const schema = {
  properties: {
    region: { type: "string", "x-mcp-header": "Region" },
    count: { type: "integer", "x-mcp-header": "Count" },
    nested: { type: "object", properties: { flag: { type: "boolean", "x-mcp-header": "Flag" } } },
    list: { type: "array", items: { "x-mcp-header": "Never" } },
    bad: { type: "string", "x-mcp-header": "not a token" },
    plain: { type: "string" },
  },
};

test("marked arguments become header fields, wherever properties alone lead to them", () => {
  const args = { region: "Zürich", count: 3, nested: { flag: true }, list: ["x"], bad: "x", plain: "x" };
  expect(paramHeaders(schema, args)).toEqual({
    "mcp-param-region": `=?base64?${Buffer.from("Zürich").toString("base64")}?=`,
    "mcp-param-count": "3",
    "mcp-param-flag": "true",
  });
  expect(paramHeaders(schema, { region: null })).toEqual({});
  expect(paramNames(schema)).toEqual(["mcp-param-region", "mcp-param-count", "mcp-param-flag"]);
});

test.each([
  ["3", "3", true],
  ["3.0", "3", true],
  ["03x", "3", false],
  ["=?base64?SGVsbG8=?=", "Hello", true],
  ["=?base64?SGVsbG8?=", "Hello", false],
  ["=?base64?SGVs!!bG8=?=", "Hello", false],
  ["SGVsbG8=", "Hello", false],
])("%j says %j: %s", (sent, expected, isSame) => expect(sameValue(sent, expected)).toBe(isSame));
