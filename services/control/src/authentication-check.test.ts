import { confSchema } from "@sluice/contracts";
import { describe, expect, it } from "vitest";
import { checkAuthentication } from "./authentication-check.ts";

const check = (tenants: Record<string, object[]>) =>
  checkAuthentication(
    confSchema.parse({
      tenants: Object.fromEntries(
        Object.entries(tenants).map(([name, authentication]) => [
          name,
          { authentication, mcp: { endpoints: [{ name: "main", url: "https://mcp.example/mcp" }] } },
        ]),
      ),
    }),
  ).map(({ path, reason }) => `${path.join(".")}: ${reason}`);

const oauth = (more: object = {}) => ({ type: "oauth2ClientCredentials", issuer: "https://as.example", ...more });
const opaque = (url: string, more: object = {}) => ({
  ...{ type: "oauth2ClientCredentials", introspectionUrl: url, clientId: "g", clientSecret: "${env:S}" },
  ...more,
});
const keyed = (url: string, more: object = {}) => ({ type: "apiKey", validationEndpoint: url, ...more });
const claim = (name: string, value?: string) => ({ tenantClaim: { name, ...(value && { value }) } });

describe("two tenants that take tokens of one issuer", () => {
  it.each([
    [{}, {}],
    [{}, claim("org")],
    [claim("org"), claim("other")],
    [claim("org", "x"), claim("org", "x")],
    [{ audience: ["urn:a", "urn:b"] }, { audience: "urn:b" }],
    [{ audience: "any" }, { audience: "urn:b" }],
    [{ audience: "urn:b" }, { audience: "any" }],
  ])("%j and %j are refused: a token could be both's", (one, other) => {
    expect(check({ a: [oauth(one)], b: [oauth(other)] })).toEqual([
      "tenants.b.authentication.0.issuer: tenant a takes the same tokens: give each tenant another audience, or both a tenantClaim",
    ]);
  });

  it.each([
    [claim("org"), claim("org")],
    [
      { audience: "any", ...claim("org") },
      { audience: "any", ...claim("org") },
    ],
    [{}, { audience: "urn:b" }],
    [{ audience: "urn:a" }, { audience: "urn:b" }],
    [{}, { issuer: "https://as.example/b" }],
  ])("%j and %j are told apart", (one, other) => {
    expect(check({ a: [oauth(one)], b: [oauth(other)] })).toEqual([]);
  });

  it("of one tenant may overlap", () => {
    expect(check({ a: [oauth(), oauth({ algorithms: ["ES256"] })] })).toEqual([]);
  });
});

describe("a credential that could be shown to two servers", () => {
  it.each([
    ["opaque tokens", opaque("https://a.example/i"), opaque("https://b.example/i"), "introspectionUrl"],
    [
      "prefixes of which one begins with the other",
      opaque("https://a.example/i", { tokenPrefix: "a_" }),
      opaque("https://b.example/i", { tokenPrefix: "a_b_" }),
      "tokenPrefix",
    ],
    ["keys in one header", keyed("https://a.example/k"), keyed("https://b.example/k"), "validationEndpoint"],
    [
      "keys in one header, spelt otherwise",
      keyed("https://a.example/k", { headerName: "X-Key", keyPrefix: "a" }),
      keyed("https://b.example/k", { headerName: "x-key", keyPrefix: "ab" }),
      "keyPrefix",
    ],
  ])("is refused: %s", (_name, one, other, key) => {
    expect(check({ a: [one], b: [other] })).toEqual([expect.stringContaining(`tenants.b.authentication.0.${key}: `)]);
  });

  it("is none where prefix, header or server tell", () => {
    const token = (tokenPrefix?: string) => opaque(`https://${tokenPrefix ?? "c"}.example/i`, { tokenPrefix });
    expect(check({ a: [token("a_")], b: [token("b_")], c: [token()] })).toEqual([]);
    const key = (headerName: string, keyPrefix?: string) => keyed("https://k.example/k", { headerName, keyPrefix });
    expect(check({ a: [key("x-a")], b: [key("x-b", "p_")], c: [key("x-b", "q_")], d: [key("x-b")] })).toEqual([]);
    const same = opaque("https://a.example/i", { audience: "urn:a" });
    expect(check({ a: [same], b: [{ ...same, audience: "urn:b" }] })).toEqual([]);
  });
});
