import { authenticationSchema, type OAuth2Method } from "@sluice/contracts";
import { Agent } from "undici";
import { describe, expect, it } from "vitest";
import type { AuthContext } from "./auth-method.ts";
import { TokenRule } from "./token-rule.ts";
import { TokenSources } from "./token-sources.ts";

const context = {
  reach: () => new Agent(),
  secrets: { value: () => "hN4wq8Zr2Lx7Vb5Tk9Ym3Pd6Jc1Fs0Ga" },
} as unknown as AuthContext;
const introspection = { clientId: "gateway", clientSecret: "${env:S}" };
const ruleOf = (tenant: string, more: object) => {
  const [settings] = authenticationSchema.parse([{ type: "oauth2ClientCredentials", ...more }]);
  return new TokenRule({
    tenant,
    settings: settings as OAuth2Method,
    servers: [],
    agents: [],
    publicUrl: gateway,
  });
};
const sourcesOf = (...rules: TokenRule[]) => {
  const sources = new TokenSources(context);
  sources.configure(rules);
  return sources;
};
const gateway = "https://gateway.example";
const jwt = (iss: unknown, more: object = { aud: gateway }) =>
  `e30.${Buffer.from(JSON.stringify({ iss, ...more })).toString("base64url")}.c2ln`;
const asked = (sources: TokenSources, token: string) =>
  sources.of(token)?.map(({ rules }) => rules.map(({ tenant }) => tenant).join());

const one = "https://one.example";
const two = "https://two.example";

describe("a token of a client that is named by a URL", () => {
  it("is nobody's, and the operator is told once per issuer what to do, and nothing of the token", () => {
    const told: unknown[][] = [];
    const log = { warn: (...words: unknown[]) => told.push(words) };
    const [first, second] = [ruleOf("acme", { issuer: one }), ruleOf("beta", { issuer: two })];
    new TokenSources({ ...context, log } as unknown as AuthContext).configure([first, second]);
    const url = "https://client.example/secret.json";
    const claims = { aud: "https://gateway.example", client_id: url };
    for (const iss of [one, one])
      expect(first.judge({ claims: { ...claims, iss } }, 0)).toContain("without an agent id");
    first.judge({ claims: { ...claims, iss: one, aud: "https://elsewhere.example" } }, 0);
    expect(told).toEqual([
      [{ tenant: "acme", issuer: one, claim: "client_id" }, expect.stringContaining("identityExtraction.agentId")],
    ]);
    second.judge({ claims: { ...claims, iss: two, client_id: "no id" } }, 0);
    expect(told).toHaveLength(1);
    second.judge({ claims: { ...claims, iss: two } }, 0);
    expect(told).toHaveLength(2);
    expect(JSON.stringify(told)).not.toContain("client.example");
  });
});

describe("a token is shown", () => {
  it("as a JWT to the issuer that it names alone, and as none of these to nobody", () => {
    const sources = sourcesOf(
      ruleOf("acme", { issuer: one }),
      ruleOf("beta", { issuer: two }),
      ruleOf("gamma", { issuer: one }),
    );
    expect(asked(sources, jwt(one))).toEqual(["acme,gamma"]);
    expect(asked(sources, jwt(two))).toEqual(["beta"]);
    for (const token of [jwt("https://three.example"), jwt(7), jwt(undefined), "opaque", "a.b.c", "e30.e30.e30"])
      expect(asked(sources, token), token).toBeUndefined();
  });

  it("as a JWT to nobody whose tenants cannot take it by what it says of its audience and tenant", () => {
    const own = { tenantClaim: { name: "org" } };
    const sources = sourcesOf(
      ruleOf("acme", { issuer: one, audience: "urn:acme" }),
      ruleOf("beta", { issuer: one, jwksUrl: `${two}/keys`, audience: "urn:beta" }),
      ruleOf("gamma", { issuer: one, introspectionUrl: `${one}/i`, ...introspection, audience: "urn:gamma", ...own }),
    );
    expect(asked(sources, jwt(one, { aud: "urn:acme" }))).toEqual(["acme"]);
    expect(asked(sources, jwt(one, { aud: ["urn:beta"] }))).toEqual(["beta"]);
    expect(asked(sources, jwt(one, { aud: "urn:gamma", org: "gamma" }))).toEqual(["gamma"]);
    expect(asked(sources, jwt(one, { aud: "urn:gamma", org: "acme" }))).toEqual([]);
    expect(asked(sources, jwt(one, {}))).toEqual(["gamma"]);
  });

  it("as an opaque one to the server whose prefix it has, else to the one without; to none where there are several", () => {
    const a = ruleOf("acme", { introspectionUrl: `${one}/i`, ...introspection });
    const b = ruleOf("beta", { introspectionUrl: `${two}/i`, tokenPrefix: "b_", ...introspection });
    const c = ruleOf("gamma", { introspectionUrl: `${two}/c`, ...introspection });
    expect(asked(sourcesOf(a, b), "opaque")).toEqual(["acme"]);
    expect(asked(sourcesOf(a, b), "b_opaque")).toEqual(["beta"]);
    expect(asked(sourcesOf(b), "opaque")).toBeUndefined();
    expect(asked(sourcesOf(a, b, c), "opaque")).toBeUndefined();
  });

  it("to one server once, where several tenants ask it as the same client", () => {
    const settings = { issuer: one, introspectionUrl: `${one}/i`, ...introspection };
    const sources = sourcesOf(
      ruleOf("acme", settings),
      ruleOf("beta", { ...settings, audience: "urn:b", cacheSeconds: 1 }),
    );
    expect(asked(sources, "opaque")).toEqual(["acme,beta"]);
    expect(asked(sources, jwt(one))).toEqual(["acme,beta"]);
    expect(sources.of("opaque")?.[0]?.servesMs).toBe(1_000);
  });

  it("as a JWT by keys where jwksUrl stands beside introspectionUrl; a stranger's JWT not to a server of a known issuer", () => {
    const settings = { issuer: one, jwksUrl: `${one}/jwks`, introspectionUrl: `${one}/i`, ...introspection };
    const sources = sourcesOf(ruleOf("acme", settings));
    expect(sources.of(jwt(one))?.[0]).not.toBe(sources.of("opaque")?.[0]);
    expect(asked(sources, jwt(two))).toBeUndefined();
    expect(asked(sourcesOf(ruleOf("beta", { introspectionUrl: `${two}/i`, ...introspection })), jwt(one))).toEqual([
      "beta",
    ]);
  });
});

it("what an edit leaves alone keeps its keys", () => {
  const sources = sourcesOf(ruleOf("acme", { issuer: one }));
  const [before] = sources.of(jwt(one)) ?? [];
  sources.configure([ruleOf("acme", { issuer: one, requiredScopes: ["s"] }), ruleOf("beta", { issuer: two })]);
  expect(sources.of(jwt(one))?.[0]?.prove).toBe(before?.prove);
  sources.configure([ruleOf("acme", { issuer: one, jwksUrl: `${one}/other` })]);
  expect(sources.of(jwt(one))?.[0]?.prove).not.toBe(before?.prove);
});
