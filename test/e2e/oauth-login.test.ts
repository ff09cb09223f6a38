import {
  Client as ModernClient,
  ClientCredentialsProvider as ModernCredentials,
  StreamableHTTPClientTransport as ModernTransport,
  type OAuthClientProvider as ModernProvider,
} from "@modelcontextprotocol/client";
import { ClientCredentialsProvider } from "@modelcontextprotocol/sdk/client/auth-extensions.js";
import type { OAuthClientProvider } from "@modelcontextprotocol/sdk/client/auth.js";
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import { freePort } from "@sluice/launcher";
import { startTestHouse, until, type TestHouse } from "@sluice/testing";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { AgentAuthorization, agentClient, callback, followLogin } from "./agent-authorization.ts";
import { startEverything } from "./everything.ts";
import { send } from "./http.ts";
import { startModernServer } from "./modern-server.ts";

let house: TestHouse;
let authorization: AgentAuthorization;
let publicUrl: string;
const stack = new AsyncDisposableStack();

beforeAll(async () => {
  authorization = stack.use(await AgentAuthorization.start());
  const [everything, modern] = [stack.use(await startEverything()), stack.use(await startModernServer())];
  const port = await freePort();
  publicUrl = `http://127.0.0.1:${port}`;
  house = stack.use(
    await startTestHouse({
      port,
      envOf: { ingress: { PUBLIC_URL: publicUrl } },
      tenants: {
        acme: {
          agents: ["a-1"],
          authentication: [
            { type: "apiKey" },
            {
              type: "oauth2ClientCredentials",
              issuer: authorization.issuer,
              requiredScopes: { mcp: ["mcp:tools:invoke"] },
            },
          ],
          mcp: {
            endpoints: [
              { name: "everything", url: everything.url },
              { name: "modern", url: modern.url },
            ],
          },
          accessRules: [{ agentPattern: "*", allowedTools: ["echo", "shout"] }],
        },
      },
    }),
  );
});
afterAll(() => stack.disposeAsync());

/** What a client keeps of a login by a browser; registered by itself, as the server allows it. */
function browserLogin() {
  const kept: { client?: unknown; tokens?: unknown; verifier?: string; goTo?: URL } = {};
  const provider = {
    redirectUrl: callback,
    clientMetadata: { client_name: "Test agent", redirect_uris: [callback], token_endpoint_auth_method: "none" },
    clientInformation: () => kept.client,
    saveClientInformation: (client: unknown) => void (kept.client = client),
    tokens: () => kept.tokens,
    saveTokens: (tokens: unknown) => void (kept.tokens = tokens),
    redirectToAuthorization: (url: URL) => void (kept.goTo = url),
    saveCodeVerifier: (verifier: string) => void (kept.verifier = verifier),
    codeVerifier: () => kept.verifier ?? "",
  };
  return { provider: provider as unknown as OAuthClientProvider & ModernProvider, kept };
}

async function useLegacy(server: string, provider: OAuthClientProvider) {
  const client = new Client({ name: "legacy", version: "1" });
  const open = () =>
    new StreamableHTTPClientTransport(new URL(`${publicUrl}/mcp/${server}`), { authProvider: provider });
  return {
    open,
    use: async (transport = open()) => {
      await client.connect(transport as Parameters<Client["connect"]>[0]);
      const { tools } = await client.listTools();
      const result = await client.callTool({ name: "echo", arguments: { message: "hello" } });
      await client.close();
      return { tools: tools.map(({ name }) => name), text: JSON.stringify(result.content) };
    },
  };
}

async function useModern(server: string, provider: ModernProvider) {
  const client = new ModernClient({ name: "modern", version: "1" }, { versionNegotiation: { mode: "auto" } });
  const open = () => new ModernTransport(new URL(`${publicUrl}/mcp/${server}`), { authProvider: provider });
  return {
    open,
    use: async (transport = open()) => {
      await client.connect(transport);
      const { tools } = await client.listTools();
      const result = await client.callTool({ name: "shout", arguments: { text: "hello" } });
      await client.close();
      return { tools: tools.map(({ name }) => name), text: JSON.stringify(result.content) };
    },
  };
}

const intents = (agent: string) =>
  until("the audit rows", async () => {
    const rows = await house.query<{ auth: string; auth_issuer: string; auth_user: string; target: string }>(
      "select auth, auth_issuer, auth_user, target from audit_calls where agent_id = $1 and method = 'tools/call'",
      [agent],
    );
    return rows.length > 0 ? rows : undefined;
  });

describe("an official client that gets a 401 logs in by itself", () => {
  const credentials = { clientId: agentClient.id, clientSecret: agentClient.secret };

  it("1.x, with client credentials: it lists and calls tools", async () => {
    // This client asks for the scopes that it is given, and for none that a challenge names.
    const scope = "mcp:tools:invoke";
    const provider = new ClientCredentialsProvider({ ...credentials, scope, expectedIssuer: authorization.issuer });
    const { use } = await useLegacy("everything", provider);
    expect(await use()).toEqual({ tools: ["echo"], text: expect.stringContaining("hello") as unknown });
    expect(authorization.requests).toEqual(
      expect.arrayContaining(["GET /.well-known/oauth-authorization-server", "POST /token", "GET /jwks"]),
    );
    expect(await intents(agentClient.id)).toContainEqual({
      auth: "oauth2",
      auth_issuer: authorization.issuer,
      auth_user: null,
      target: "echo",
    });
  });

  it("2.x, with client credentials: it lists and calls tools", async () => {
    const provider = new ModernCredentials({ ...credentials, expectedIssuer: authorization.issuer });
    const { use } = await useModern("modern", provider);
    expect(await use()).toEqual({ tools: ["shout"], text: expect.stringContaining("HELLO") as unknown });
  });

  it("1.x, by a browser, with PKCE and a client that it registers: the audit trail has who was logged in", async () => {
    const { provider, kept } = browserLogin();
    const { use, open } = await useLegacy("everything", provider);
    const first = open();
    await expect(use(first)).rejects.toThrow(/Unauthorized/);
    expect(kept.goTo?.searchParams.get("code_challenge_method")).toBe("S256");
    expect(kept.goTo?.searchParams.get("resource")).toBe(`${publicUrl}/mcp/everything`);
    expect(kept.goTo?.searchParams.get("scope")).toBe("mcp:tools:invoke");
    const back = await followLogin(kept.goTo as URL);
    await first.finishAuth(back.get("code") ?? "");
    const again = await useLegacy("everything", provider);
    expect(await again.use()).toEqual({ tools: ["echo"], text: expect.stringContaining("hello") as unknown });
    const { client_id } = kept.client as { client_id: string };
    expect(await intents(client_id)).toContainEqual(expect.objectContaining({ auth: "oauth2", auth_user: "ada" }));
  });

  it("2.x, by a browser, with PKCE and a client that it registers", async () => {
    const { provider, kept } = browserLogin();
    const { use, open } = await useModern("modern", provider);
    const first = open();
    await expect(use(first)).rejects.toThrow(/Unauthorized/);
    await first.finishAuth(await followLogin(kept.goTo as URL));
    const again = await useModern("modern", provider);
    expect(await again.use()).toEqual({ tools: ["shout"], text: expect.stringContaining("HELLO") as unknown });
  });
});

describe("what is open to everybody", () => {
  it("is the metadata of the gateway and of what it protects, by its public URL and never by Host", async () => {
    const at = `${house.house.url}/.well-known/oauth-protected-resource`;
    for (const path of ["", "/mcp", "/mcp/modern", "/mcp/no-such-server"]) {
      const answer = await send(at + path, { method: "GET", headers: { host: "localhost:1" } });
      expect(answer.status, path).toBe(200);
      expect(JSON.parse(answer.text), path).toEqual({
        resource: publicUrl + path,
        authorization_servers: [authorization.issuer],
        bearer_methods_supported: ["header"],
        scopes_supported: ["mcp:tools:invoke"],
      });
    }
    for (const path of ["/mcp/main/sse", "/a", "/mcp/%22x"])
      expect((await send(at + path, { method: "GET" })).status, path).toBeGreaterThanOrEqual(401);
  });

  it("a 401 says where the metadata is and what scope is needed; a 403 names all the scopes", async () => {
    const url = `${house.house.url}/mcp/modern`;
    const metadata = `resource_metadata="${publicUrl}/.well-known/oauth-protected-resource/mcp/modern"`;
    const unknown = await send(url, { method: "GET" });
    expect(unknown.headers["www-authenticate"]).toBe(`Bearer realm="sluice", scope="mcp:tools:invoke", ${metadata}`);
    const token = await authorization.issue(`${publicUrl}/mcp`, "a2a:tasks:send");
    const poor = await send(url, { method: "GET", headers: { authorization: `Bearer ${token}` } });
    expect(poor.status).toBe(403);
    expect(poor.headers["www-authenticate"]).toBe(
      `Bearer realm="sluice", error="insufficient_scope", scope="mcp:tools:invoke", ${metadata}`,
    );
    expect(JSON.parse(poor.text)).toMatchObject({
      error: { code: 1403, data: { error: "insufficient_scope", requiredScopes: ["mcp:tools:invoke"] } },
    });
  });
});
