const plain = /^(?![ \t])(?!=\?base64\?.*\?=$)[\x20-\x7e\t]*(?<![ \t])$/;

/** A header's value; what is not plain ASCII travels as base64 (MCP 2026-07-28, Streamable HTTP, Value Encoding). */
export function encodeHeaderValue(value: string): string {
  return plain.test(value) ? value : `=?base64?${Buffer.from(value, "utf8").toString("base64")}?=`;
}
