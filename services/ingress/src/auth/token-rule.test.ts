import { authenticationSchema, type OAuth2Method } from "@sluice/contracts";
import { describe, expect, it } from "vitest";
import { TokenRule } from "./token-rule.ts";

const issuer = "https://as.example";
const publicUrl = "https://gateway.example";
const now = 1_800_000_000_000;
const seconds = now / 1000;
const good = { iss: issuer, aud: `${publicUrl}/mcp`, exp: seconds + 60, client_id: "a-1" };

const settingsOf = (more: object): OAuth2Method =>
  authenticationSchema.parse([{ type: "oauth2ClientCredentials", issuer, ...more }])[0] as OAuth2Method;
const ruleOf = (more: object = {}) =>
  new TokenRule({ tenant: "acme", settings: settingsOf(more), servers: ["files"], agents: ["planner"], publicUrl });
const judge = (claims: object, more: object = {}, algorithm = "RS256") =>
  ruleOf(more).judge({ claims: { ...good, ...claims }, algorithm }, now);

describe("a token is accepted", () => {
  it("for the agent that it names, until it expires, clock skew included", () => {
    expect(judge({ scope: "mcp:tools:invoke", sub: "ada" })).toEqual({
      tenant: "acme",
      agent: { id: "a-1" },
      user: "ada",
      method: "oauth2",
      issuer,
      scopes: ["mcp:tools:invoke"],
      neededScopes: { mcp: [], a2a: [] },
      servers: ["mcp/*"],
      expiresAtMs: now + 90_000,
    });
  });

  it("within the clock skew on both sides", () => {
    expect(judge({ exp: seconds - 29, nbf: seconds + 30 })).toBeTypeOf("object");
    expect(judge({ exp: seconds - 30 })).toBe("expired");
    expect(judge({ exp: seconds - 1 }, { clockSkewSeconds: 0 })).toBe("expired");
    expect(judge({ nbf: seconds + 31 })).toBe("not valid yet");
  });

  it("for everything where it names the gateway, else for the servers and agents of the protocol that it names", () => {
    for (const aud of [publicUrl, ["x", publicUrl, `${publicUrl}/mcp/files`]])
      expect(judge({ aud })).not.toHaveProperty("servers");
    expect(judge({ aud: ["x", `${publicUrl}/mcp`] })).toMatchObject({ servers: ["mcp/*"] });
    expect(judge({ aud: [`${publicUrl}/a2a`, `${publicUrl}/mcp/files`] })).toMatchObject({
      servers: ["a2a/*", "mcp/files"],
    });
    expect(judge({ aud: `${publicUrl}/a2a/planner` })).toMatchObject({ servers: ["a2a/planner"] });
    expect(judge({ aud: `${publicUrl}/mcp/files` })).toMatchObject({ servers: ["mcp/files"] });
    expect(judge({ aud: ["urn:own"] }, { audience: "urn:own" })).not.toHaveProperty("servers");
    expect(judge({ aud: undefined }, { audience: "any" })).toBeTypeOf("object");
  });

  it("with the scopes that are needed, as a list for every protocol or for each", () => {
    expect(ruleOf({ requiredScopes: ["s"] }).neededScopes).toEqual({ mcp: ["s"], a2a: ["s"] });
    expect(ruleOf({ requiredScopes: { mcp: ["s"] } }).neededScopes).toEqual({ mcp: ["s"], a2a: [] });
  });
});

describe("a token is refused (A2)", () => {
  it.each([
    [{ iss: "https://as.example/" }, {}, "of another issuer"],
    [{ iss: 7 }, {}, "its issuer cannot be read"],
    [{ aud: undefined }, {}, "for another audience"],
    [{ aud: `${publicUrl}/` }, {}, "for another audience"],
    [{ aud: `${publicUrl}/mcp/other` }, {}, "for another audience"],
    [{ aud: [7, null] }, {}, "for another audience"],
    [{ aud: `${publicUrl}/mcp` }, { audience: "urn:own" }, "for another audience"],
    [{ exp: "soon" }, {}, "expired"],
    [{ exp: Number.NaN }, {}, "expired"],
    [{ nbf: "now" }, {}, "not valid yet"],
    [{ cnf: { jkt: "x" } }, {}, "bound to a key of its holder, which a bearer token does not prove"],
    [{ org: "beta" }, { tenantClaim: { name: "org" } }, "of another tenant"],
    [{ org: ["acme"] }, { tenantClaim: { name: "org" } }, "of another tenant"],
    [{ org: "acme" }, { tenantClaim: { name: "org", value: "acme-org" } }, "of another tenant"],
    [{ client_id: undefined }, {}, "without an agent id in 'client_id'"],
    [{ scope: "s ".repeat(200) }, {}, "with too many scopes"],
    [{}, { algorithms: ["ES256"] }, "signed with another algorithm than allowed"],
  ])("%j under %j: %s", (claims, more, reason) => {
    expect(judge(claims, more)).toBe(reason);
  });
});

it("without an address of the gateway's own somebody has to say what audience its tokens have", () => {
  const make = (more: object) => () =>
    new TokenRule({ tenant: "acme", settings: settingsOf(more), servers: [], agents: [], publicUrl: undefined });
  expect(make({})).toThrow(/set PUBLIC_URL/);
  expect(make({ audience: "urn:own" })).not.toThrow();
});
