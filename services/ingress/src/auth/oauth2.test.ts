import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import type { SectionMap } from "@sluice/bus";
import { authenticationSchema } from "@sluice/contracts";
import { exportJWK, generateKeyPair, SignJWT } from "jose";
import { Agent } from "undici";
import { expect, it } from "vitest";
import type { AuthContext } from "./auth-method.ts";
import { oauth2 } from "./oauth2.ts";

const issuer = "https://as.example";

it("a source of keys that fails keeps nobody out whom another tenant's takes, and is asked about no token that is not its tenant's", async () => {
  const { publicKey, privateKey } = await generateKeyPair("ES256");
  const keys = { keys: [{ ...(await exportJWK(publicKey)), kid: "k", alg: "ES256" }] };
  const asked: (string | undefined)[] = [];
  await using server = createServer(({ url }, response) => {
    asked.push(url);
    if (url === "/good") response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify(keys));
    else response.writeHead(500).end();
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  const origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const section = (path: string, audience: string) => ({
    oauth2: authenticationSchema.parse([
      { type: "oauth2ClientCredentials", issuer, jwksUrl: origin + path, audience: [audience, "urn:both"] },
    ]),
    servers: [],
    agentEndpoints: [],
  });
  await using stack = new AsyncDisposableStack();
  const agent = stack.adopt(new Agent(), (one) => one.destroy());
  const context = { reach: () => agent, changed: () => {}, log: { debug: () => {}, warn: () => {} } };
  const method = oauth2(context as unknown as AuthContext);
  method.configure(
    new Map([
      ["acme", section("/good", "urn:acme")],
      ["beta", section("/bad", "urn:beta")],
    ]) as unknown as SectionMap<"ingress">,
  );
  const show = async (audience: string) => {
    const token = await new SignJWT({ iss: issuer, aud: audience, client_id: "a-1" })
      .setProtectedHeader({ alg: "ES256", kid: "k" })
      .setExpirationTime("5m")
      .sign(privateKey);
    const request = { headers: { authorization: `Bearer ${token}` } } as Parameters<typeof method.authenticate>[0];
    return await method.authenticate(request);
  };
  expect(await show("urn:acme")).toMatchObject({ tenant: "acme" });
  expect(asked).toEqual(["/good"]);
  expect(await show("urn:both")).toMatchObject({ tenant: "acme" });
  expect(asked).toEqual(["/good", "/bad"]);
  await expect(show("urn:beta")).rejects.toMatchObject({ kind: "upstream_unavailable" });
});
