import { describe, expect, test } from "vitest";
import { credentialsSchema } from "./upstream-credentials.ts";

const secret = "${env:SECRET}";
const client = {
  type: "oauth2ClientCredentials",
  tokenUrl: "https://as.example.com/token",
  clientId: "sluice",
  clientSecret: secret,
};
const { clientSecret: _, ...secretless } = client;
const byKey = { ...secretless, authMethod: "private_key_jwt", privateKey: "${file:/run/secrets/key}" };
const problems = (value: unknown) =>
  credentialsSchema.safeParse(value).error?.issues.map(({ path, message }) => `${path.join(".")}: ${message}`);

describe("credentials for an upstream", () => {
  test.each([
    { type: "header", headerName: "Authorization", value: secret, prefix: "Bearer" },
    { type: "header", headerName: "x-api-key", value: secret },
    client,
    { ...client, authMethod: "client_secret_post", scopes: ["mcp:tools", "b"], resource: "https://u.example.com/mcp" },
    { ...byKey, keyId: "k", algorithm: "ES256", issuer: "https://as.example.com", audience: "api://x" },
  ])("%j is good", (credentials) => {
    expect(problems(credentials)).toBe(undefined);
  });

  test.each(
    [
      ["Host", "Content-Type", "content-length", "Accept", "MCP-Session-Id", "mcp-method", "Mcp-Param-x", "Connection"],
      ["Transfer-Encoding", "TE", "Proxy-Authorization", "X-Verified-Agent-Id", "X-Forwarded-For", "Forwarded"],
      ["traceparent", "Last-Event-ID", "X-Signature", "X-Api-Key-Id", "Nats-Msg-Id"],
    ].flat(),
  )("A15: the header field %s is not the operator's to set", (headerName) => {
    expect(problems({ type: "header", headerName, value: secret })).toEqual([
      "headerName: this header field is the protocol's or the gateway's own",
    ]);
  });

  test.each([
    [{ ...client, type: "other" }, "type: "],
    [{ type: "header", headerName: "a b", value: secret }, "headerName: must be the name of a header field"],
    [{ type: "header", headerName: "x-key", value: "literal-secret" }, "value: must be a reference"],
    [{ type: "header", headerName: "x-key", value: secret, prefix: "Bearer " }, "prefix: must be visible ASCII"],
    [{ ...client, clientSecret: "literal-secret" }, "clientSecret: must be a reference"],
    [secretless, "clientSecret: client_secret_basic needs a clientSecret"],
    [{ ...client, tokenUrl: undefined }, "tokenUrl: give tokenUrl or issuer"],
    [{ ...client, tokenUrl: "ftp://as.example.com/token" }, "tokenUrl: must be an https:// URL"],
    [{ ...client, tokenUrl: "https://u:p@as.example.com/token" }, "tokenUrl: must hold no user, password or fragment"],
    [{ ...client, privateKey: secret }, "privateKey: only private_key_jwt uses it"],
    [{ ...byKey, clientSecret: secret }, "clientSecret: private_key_jwt uses no clientSecret"],
    [{ ...byKey, privateKey: undefined }, "privateKey: private_key_jwt needs a privateKey"],
    [{ ...byKey, algorithm: "none" }, "algorithm: "],
    [{ ...byKey, algorithm: "HS256" }, "algorithm: "],
    [{ ...client, scopes: ["two scopes"] }, "scopes.0: must be one scope"],
    [{ ...client, resource: "https://u.example.com/#f" }, "resource: must have no fragment"],
  ])("%j says what is wrong", (credentials, expected) => {
    expect(problems(credentials)?.[0]).toContain(expected);
    expect(JSON.stringify(problems(credentials))).not.toContain("literal-secret");
  });
});
