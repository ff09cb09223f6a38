import type { WireRequest } from "@sluice/a2a";
import type { A2aVersion } from "@sluice/contracts";
import { describe, expect, it } from "vitest";
import { forTenant, requireTenant } from "./tenant-param.ts";

const rpc = { dialect: { version: "1.0", binding: "JSONRPC" }, path: "/" } as const;
const rest = { dialect: { version: "1.0", binding: "HTTP+JSON" }, path: "/" } as const;
const ours = 'a"b';

describe("an agent's interface that has a tenant", () => {
  const named = (body: string) =>
    forTenant({ ...rpc, tenant: ours }, { http: "POST", rest: "", body: Buffer.from(body) });

  it.each([
    ['{"id":1,"params":{"id":"7"}}', '{"id":1,"params":{"tenant":"a\\"b","id":"7"}}'],
    ['{"params": { } ,"id":1}', '{"params": {"tenant":"a\\"b" } ,"id":1}'],
    ['{"id":1}', '{"params":{"tenant":"a\\"b"},"id":1}'],
    ['{"params":{"id":"7","tenant":""}}', '{"params":{"id":"7","tenant":"a\\"b"}}'],
    ['{"params":{"ten\\u0061nt":"theirs"}}', '{"params":{"ten\\u0061nt":"a\\"b"}}'],
  ])("has it named in %s, in place of any other", (body, expected) => {
    expect(named(body).body.toString()).toBe(expected);
  });

  it.each(['{"params":{"tenant":"x","tenant":"y"}}', '{"params":{"Tenant":"x"}}', '{"params":[1]}', "{"])(
    "gets nothing that could be read in two ways: %s",
    (body) => {
      expect(() => named(body)).toThrow(
        expect.objectContaining({ kind: expect.stringMatching(/^(parse_error|invalid_params)$/) }) as Error,
      );
    },
  );

  it.each<[WireRequest["http"], string, string, string, string]>([
    ["GET", "/tasks/7?historyLength=1", "", "/a%22b/tasks/7?historyLength=1", ""],
    ["GET", "/a%22b/tasks/7", "", "/a%22b/tasks/7", ""],
    ["GET", "/theirs/tasks/7?tenant=theirs&historyLength=1", "", "/a%22b/tasks/7?historyLength=1", ""],
    ["POST", "/message:send", '{"tenant":"theirs"}', "/a%22b/message:send", '{"tenant":"a\\"b"}'],
  ])("has it in front of REST's %s %s, once", (http, asked, body, path, sent) => {
    const request = forTenant({ ...rest, tenant: ours }, { http, rest: asked, body: Buffer.from(body) });
    expect([request.rest, request.body.toString()]).toEqual([path, sent]);
  });
});

it("leaves alone what is for an interface without", () => {
  const request = { http: "POST", rest: "", body: Buffer.from('{"id":1}') } as const;
  expect(forTenant(rpc, request)).toBe(request);
});

it("A22: a client names the interface's tenant or none; at agents before 1.0 the name means nothing where the interface has none", () => {
  const asks = (tenant: string | undefined, at?: string, version: A2aVersion = "1.0") => {
    const dialect = { version, binding: "JSONRPC" } as const;
    const agent = { dialect, path: "/", ...(at !== undefined && { tenant: at }) };
    return () => requireTenant(agent, tenant === undefined ? {} : { tenant });
  };
  for (const allowed of [asks(undefined), asks(undefined, ours), asks(ours, ours), asks("x", undefined, "0.3")])
    expect(allowed).not.toThrow();
  for (const refused of [asks("x"), asks("x", ours), asks("x", ours, "0.3")])
    expect(refused).toThrow(expect.objectContaining({ kind: "invalid_params" }) as Error);
});
