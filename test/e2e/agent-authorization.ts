import { generateKeyPairSync, randomBytes } from "node:crypto";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { SignJWT, type JWTHeaderParameters, type JWTPayload } from "jose";
import { Provider, type ClientMetadata } from "oidc-provider";

const secret = () => `cnry-${randomBytes(24).toString("base64url")}`;
/** The gateway's own, with which it introspects. */
export const gatewayClient = { id: "gateway", secret: secret() };
const gatewayKey = generateKeyPairSync("ec", { namedCurve: "P-256" });
/** The gateway, where it proves who it is by a key. */
export const gatewayByKey = {
  id: "gateway-by-key",
  pem: gatewayKey.privateKey.export({ type: "pkcs8", format: "pem" }).toString(),
};
/** An agent that has credentials of its own. */
export const agentClient = { id: "sentinel-7", secret: secret() };
const everyScope = "mcp:tools:invoke a2a:tasks:send";
export const callback = "https://agent.example/callback";

const machine = {
  grant_types: ["client_credentials"],
  redirect_uris: [],
  response_types: [],
  token_endpoint_auth_method: "client_secret_basic",
  scope: everyScope,
};
const clients = [
  { ...machine, client_id: gatewayClient.id, client_secret: gatewayClient.secret },
  {
    ...machine,
    client_id: gatewayByKey.id,
    token_endpoint_auth_method: "private_key_jwt",
    jwks: { keys: [{ ...gatewayKey.publicKey.export({ format: "jwk" }), kid: "gw-1" }] },
  },
  { ...machine, client_id: agentClient.id, client_secret: agentClient.secret },
] as ClientMetadata[];

export interface AgentAuthorizationOptions {
  /** What access tokens look like. */
  readonly format: "jwt" | "opaque";
}

/** A real authorization server on loopback that agents log in at: machines by their secret, people by a click that it makes for them. */
export class AgentAuthorization implements AsyncDisposable {
  readonly issuer: string;
  /** Method and path of each request. */
  readonly requests: string[] = [];
  /** The clients that asked about tokens. */
  readonly introspectedBy = new Set<string>();
  /** Where set, it answers requests in the place of the server, as one that is out of order. */
  outOfOrder: ((request: IncomingMessage, response: ServerResponse) => void) | undefined;
  readonly #keys = generateKeyPairSync("rsa", { modulusLength: 2048 });
  readonly #provider: Provider;
  readonly #server: Server;

  private constructor(server: Server, { format }: AgentAuthorizationOptions) {
    this.#server = server;
    this.issuer = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    this.#provider = new Provider(this.issuer, {
      clients,
      jwks: { keys: [{ ...this.#keys.privateKey.export({ format: "jwk" }), kid: "as-1" }] },
      enabledJWA: { clientAuthSigningAlgValues: ["RS256", "ES256"] },
      scopes: ["openid", "offline_access", ...everyScope.split(" ")],
      cookies: { keys: [secret()] },
      ttl: { ClientCredentials: 600, AccessToken: 600 },
      findAccount: (_context, accountId) => ({ accountId, claims: () => ({ sub: accountId }) }),
      interactions: { url: (_context, { uid }) => `/interaction/${uid}` },
      features: {
        devInteractions: { enabled: false },
        clientCredentials: { enabled: true },
        introspection: {
          enabled: true,
          allowedPolicy: (_context, client) => {
            this.introspectedBy.add(client.clientId);
            return true;
          },
        },
        revocation: { enabled: true },
        registration: { enabled: true },
        resourceIndicators: {
          enabled: true,
          useGrantedResource: () => true,
          getResourceServerInfo: (_context, resource) => ({
            scope: everyScope,
            audience: resource,
            accessTokenFormat: format,
            jwt: { sign: { alg: "RS256" } },
          }),
        },
      },
    });
    server.on("request", (request: IncomingMessage, response: ServerResponse) => {
      this.requests.push(`${request.method} ${request.url}`);
      if (this.outOfOrder !== undefined) this.outOfOrder(request, response);
      else if (request.url?.startsWith("/interaction/") === true) void this.#agree(request, response);
      else void this.#provider.callback()(request, response);
    });
  }

  static async start(options: AgentAuthorizationOptions = { format: "jwt" }): Promise<AgentAuthorization> {
    const server = createServer();
    const listening = Promise.withResolvers<void>();
    server.listen(0, "127.0.0.1", listening.resolve);
    await listening.promise;
    return new AgentAuthorization(server, options);
  }

  get publicPem(): string {
    return this.#keys.publicKey.export({ type: "spki", format: "pem" }).toString();
  }

  /** A token that this server could have issued, with whatever a test wants in it; an undefined claim is left out. */
  async sign(claims: JWTPayload, header: Partial<JWTHeaderParameters> = {}): Promise<string> {
    const now = Math.floor(Date.now() / 1000);
    const whole = { iss: this.issuer, iat: now, exp: now + 600, client_id: "sentinel-7", scope: everyScope, ...claims };
    return await new SignJWT(JSON.parse(JSON.stringify(whole)) as JWTPayload)
      .setProtectedHeader({ alg: "RS256", kid: "as-1", typ: "at+jwt", ...header })
      .sign(this.#keys.privateKey);
  }

  /** A token for an agent with credentials of its own. */
  async issue(resource: string, scope = everyScope): Promise<string> {
    const answer = await this.#post("/token", agentClient, { grant_type: "client_credentials", resource, scope });
    return ((await answer.json()) as { access_token: string }).access_token;
  }

  async revoke(token: string): Promise<void> {
    await this.#post("/token/revocation", agentClient, { token });
  }

  async #post(
    path: string,
    { id, secret: own }: typeof agentClient,
    fields: Record<string, string>,
  ): Promise<Response> {
    const authorization = `Basic ${Buffer.from(`${id}:${own}`).toString("base64")}`;
    const body = new URLSearchParams(fields);
    const answer = await fetch(this.issuer + path, { method: "POST", headers: { authorization }, body });
    if (!answer.ok) throw new Error(`${path}: ${await answer.text()}`);
    return answer;
  }

  /** Somebody logs in and agrees to everything. */
  async #agree(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { prompt, params, session, grantId } = await this.#provider.interactionDetails(request, response);
    if (prompt.name === "login") {
      await this.#provider.interactionFinished(request, response, { login: { accountId: "ada" } });
      return;
    }
    const grant =
      (grantId === undefined ? undefined : await this.#provider.Grant.find(grantId)) ??
      new this.#provider.Grant({ accountId: session?.accountId ?? "", clientId: String(params["client_id"]) });
    const { missingOIDCScope = [], missingResourceScopes = {} } = prompt.details as {
      missingOIDCScope?: string[];
      missingResourceScopes?: Record<string, string[]>;
    };
    grant.addOIDCScope(missingOIDCScope.join(" "));
    for (const [resource, scopes] of Object.entries(missingResourceScopes))
      grant.addResourceScope(resource, scopes.join(" "));
    await this.#provider.interactionFinished(
      request,
      response,
      { consent: { grantId: await grant.save() } },
      { mergeWithLastSubmission: true },
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}

/** Follows a login as a browser would, cookies included; gives back what the client's own address is called with. */
export async function followLogin(url: URL): Promise<URLSearchParams> {
  const cookies = new Map<string, string>();
  let next = url;
  for (let hops = 0; hops < 20; hops++) {
    if (next.href.startsWith(callback)) return next.searchParams;
    const cookie = [...cookies].map(([name, value]) => `${name}=${value}`).join("; ");
    const answer = await fetch(next, { redirect: "manual", headers: { cookie } });
    for (const line of answer.headers.getSetCookie()) {
      const [name = "", value = ""] = (line.split(";", 1)[0] ?? "").split("=", 2);
      cookies.set(name, value);
    }
    const location = answer.headers.get("location");
    if (location === null) throw new Error(`${next.pathname} answered ${answer.status}: ${await answer.text()}`);
    next = new URL(location, next);
  }
  throw new Error("the login never ended");
}
