import { generateKeyPairSync, randomBytes, type KeyObject } from "node:crypto";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { Provider, type ClientMetadata } from "oidc-provider";

/** What an authorization server was asked for. */
export interface TokenRequest {
  readonly client: string;
  readonly parameters: Readonly<Record<string, unknown>>;
}

const rsa = generateKeyPairSync("rsa", { modulusLength: 2048 });
const ec = generateKeyPairSync("ec", { namedCurve: "P-256" });
const ed = generateKeyPairSync("ed25519");
const jwk = (key: KeyObject, kid: string) => ({ ...key.export({ format: "jwk" }), kid });
const secret = () => `cnry-client-${randomBytes(24).toString("base64url")}`;

/** The clients' credentials, as a gateway holds them. */
export const clientCredentials = {
  basic: secret(),
  // Everything that form encoding changes, which client_secret_basic asks for before base64.
  post: `${secret()}+%/ :&=~`,
  short: secret(),
  rsaPem: rsa.privateKey.export({ type: "pkcs8", format: "pem" }).toString(),
  ecJwk: JSON.stringify(jwk(ec.privateKey, "ec-1")),
  edPem: ed.privateKey.export({ type: "pkcs8", format: "pem" }).toString(),
};
const shortLivedSeconds = 3;

const grant = { grant_types: ["client_credentials"], redirect_uris: [], response_types: [], scope: "tools other" };
const byKey = { ...grant, token_endpoint_auth_method: "private_key_jwt" as const };
const clients = [
  {
    ...grant,
    client_id: "c:basic",
    client_secret: clientCredentials.basic,
    token_endpoint_auth_method: "client_secret_basic",
  },
  {
    ...grant,
    client_id: "post",
    client_secret: clientCredentials.post,
    token_endpoint_auth_method: "client_secret_post",
  },
  {
    ...grant,
    client_id: "short",
    client_secret: clientCredentials.short,
    token_endpoint_auth_method: "client_secret_basic",
  },
  { ...byKey, client_id: "rsa", jwks: { keys: [jwk(rsa.publicKey, "rsa-1")] } },
  { ...byKey, client_id: "ec", jwks: { keys: [jwk(ec.publicKey, "ec-1")] } },
  { ...byKey, client_id: "ed", jwks: { keys: [jwk(ed.publicKey, "ed-1")] } },
] as ClientMetadata[];

/** A real authorization server on loopback, with clients that authenticate in every way that Sluice knows. */
export class AuthorizationServer implements AsyncDisposable {
  readonly granted: TokenRequest[] = [];
  readonly issuer: string;
  readonly #provider: Provider;
  readonly #server: Server;

  private constructor(server: Server) {
    this.#server = server;
    this.issuer = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    this.#provider = new Provider(this.issuer, {
      clients,
      jwks: { keys: [jwk(generateKeyPairSync("rsa", { modulusLength: 2048 }).privateKey, "as")] },
      scopes: ["tools", "other"],
      ttl: { ClientCredentials: (_context, _token, client) => (client.clientId === "short" ? shortLivedSeconds : 600) },
      enabledJWA: { clientAuthSigningAlgValues: ["RS256", "PS256", "ES256", "EdDSA", "Ed25519"] },
      features: {
        devInteractions: { enabled: false },
        clientCredentials: { enabled: true },
        resourceIndicators: {
          enabled: true,
          getResourceServerInfo: () => ({ scope: "tools", accessTokenFormat: "jwt", jwt: { sign: { alg: "RS256" } } }),
        },
      },
    });
    this.#provider.on("grant.success", ({ oidc }) => {
      this.granted.push({ client: oidc.client?.clientId ?? "", parameters: { ...oidc.params } });
    });
    server.on("request", this.#provider.callback());
  }

  static async start(): Promise<AuthorizationServer> {
    const server = createServer();
    const listening = Promise.withResolvers<void>();
    server.listen(0, "127.0.0.1", listening.resolve);
    await listening.promise;
    return new AuthorizationServer(server);
  }

  get tokenUrl(): string {
    return `${this.issuer}/token`;
  }

  grantedTo(client: string): TokenRequest[] {
    return this.granted.filter((request) => request.client === client);
  }

  /** Whose opaque token this is, while it is good. */
  async holder(token: string): Promise<{ client: string; scope: string | undefined } | undefined> {
    const found = await this.#provider.ClientCredentials.find(token);
    return found === undefined ? undefined : { client: found.clientId ?? "", scope: found.scope };
  }

  async revoke(token: string): Promise<void> {
    await (await this.#provider.ClientCredentials.find(token))?.destroy();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}
