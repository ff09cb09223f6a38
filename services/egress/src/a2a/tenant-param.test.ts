import { expect, it } from "vitest";
import { forTenant } from "./tenant-param.ts";

const dialect = { version: "1.0", binding: "JSONRPC" } as const;
const named = (body: string, tenant?: string) => {
  const request = { http: "POST", rest: "", body: Buffer.from(body) } as const;
  return forTenant({ dialect, path: "/", ...(tenant !== undefined && { tenant }) }, request).body.toString();
};

it.each([
  ['{"id":1,"params":{"id":"7"}}', '{"id":1,"params":{"tenant":"a\\"b","id":"7"}}'],
  ['{"params": { } ,"id":1}', '{"params": {"tenant":"a\\"b" } ,"id":1}'],
  ['{"id":1}', '{"params":{"tenant":"a\\"b"},"id":1}'],
])("names the tenant of an interface in %s", (body, expected) => {
  expect(named(body, 'a"b')).toBe(expected);
});

it("leaves alone what names one, and what is for an interface without", () => {
  const body = '{"id":1,"params":{"id":"7","tenant":"mine"}}';
  expect(named(body, "other")).toBe(body);
  expect(named('{"id":1}')).toBe('{"id":1}');
});
