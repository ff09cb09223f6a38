import { Fault, type ClientCredentials } from "@sluice/contracts";
import { requireStrong } from "@sluice/secrets";
import {
  clientCredentialsGrantRequest,
  ClientSecretBasic,
  ClientSecretPost,
  modifyAssertion,
  PrivateKeyJwt,
  processClientCredentialsResponse,
  type AuthorizationServer,
  type ClientAuth,
} from "oauth4webapi";
import { discover, requestOptions } from "./authorization-server.ts";
import { readClientKey } from "./client-key.ts";
import type { Credential, CredentialContext, TokenRequests } from "./credential.ts";
import { TokenKeeper, type Token } from "./token-keeper.ts";
import { problemOf, TokenProblem } from "./token-problem.ts";

/** Where the server does not say how long a token lives. */
const unsaidLifetimeMs = 300_000;

/**
 * OAuth 2.0 client credentials (RFC 6749 §4.4): a bearer token of the gateway's own, kept for all calls to the endpoint.
 * A token outlives a change of the secret that it was got with; the next one is asked for with the new secret.
 */
export function clientCredentials(
  settings: ClientCredentials,
  { tenant, endpoint, tokens, secrets }: CredentialContext,
): Credential {
  for (const address of [settings.tokenUrl, settings.issuer]) if (address !== undefined) tokens.reach(new URL(address));
  const authenticate = authentication(settings, secrets);
  const keeper = new TokenKeeper({
    fetch: tokenRequest({ settings, authenticate, tokens }),
    failed: (error) => {
      if (error instanceof TokenProblem && isAboutClient(error)) authenticate.lookAgain();
      tokens.report(
        `tenant ${tenant}, endpoint ${endpoint.name}: no token from its authorization server: ${problemOf(error)}`,
      );
      return new Fault(
        "upstream_failed",
        `the gateway has no valid credentials for the server '${endpoint.name}' at the moment`,
      );
    },
  });
  return {
    identity: JSON.stringify([endpoint.url, settings]),
    fields: () => {
      const token = keeper.take();
      return typeof token === "string" ? bearer(token) : token.then(bearer);
    },
    secretChanged: () => authenticate.read(),
    refused: (fields) => keeper.drop((fields["authorization"] ?? "").slice("Bearer ".length)),
  };
}

/** The secret may be an old one: RFC 6749 §5.2 has 401 or 400 for a client that is not known by it. */
function isAboutClient({ status }: TokenProblem): boolean {
  return status === 400 || status === 401;
}

function bearer(token: string) {
  return { authorization: `Bearer ${token}` };
}

/** How the gateway proves who it is to the authorization server: with the last secret that is good for it. */
interface Authentication {
  current(): ClientAuth;
  /** Takes over the secret as it is now. @throws SecretProblem where it is of no use; the one before stays */
  read(): void;
  /** Looks whether there is a newer one. */
  lookAgain(): void;
}

function authentication(settings: ClientCredentials, secrets: CredentialContext["secrets"]): Authentication {
  const reference = (settings.authMethod === "private_key_jwt" ? settings.privateKey : settings.clientSecret) ?? "";
  let current = clientAuth(settings, reference, secrets.value(reference));
  return {
    current: () => current,
    lookAgain: () => secrets.again(reference),
    read: () => (current = clientAuth(settings, reference, secrets.value(reference))),
  };
}

function clientAuth(settings: ClientCredentials, reference: string, secret: string): ClientAuth {
  if (settings.authMethod === "private_key_jwt") {
    const { algorithm, ...key } = readClientKey(reference, secret, settings);
    return PrivateKeyJwt(key, { [modifyAssertion]: (header) => (header["alg"] = algorithm) });
  }
  requireStrong(reference, secret);
  return settings.authMethod === "client_secret_post" ? ClientSecretPost(secret) : ClientSecretBasic(secret);
}

interface TokenRequest {
  readonly settings: ClientCredentials;
  readonly authenticate: Authentication;
  readonly tokens: TokenRequests;
}

function tokenRequest({ settings, authenticate, tokens }: TokenRequest): (signal: AbortSignal) => Promise<Token> {
  const client = { client_id: settings.clientId };
  const parameters = {
    ...(settings.scopes.length > 0 && { scope: settings.scopes.join(" ") }),
    ...(settings.resource !== undefined && { resource: settings.resource }),
    ...(settings.audience !== undefined && { audience: settings.audience }),
  };
  return async (signal) => {
    const options = requestOptions(tokens, signal);
    const server = await serverOf(settings, options);
    const response = await clientCredentialsGrantRequest(server, client, authenticate.current(), parameters, options);
    const { access_token, token_type, expires_in } = await processClientCredentialsResponse(server, client, response);
    if (token_type !== "bearer") throw new TokenProblem("its token is of another type than bearer");
    if (!/^[\x21-\x7e]+$/.test(access_token)) throw new TokenProblem("its token can't stand in a header field");
    return { value: access_token, lifetimeMs: expires_in === undefined ? unsaidLifetimeMs : expires_in * 1000 };
  };
}

/** Where to ask: as configured, or as the issuer's metadata says, which is read anew for each token. */
async function serverOf(
  { issuer, tokenUrl }: ClientCredentials,
  options: ReturnType<typeof requestOptions>,
): Promise<AuthorizationServer> {
  if (tokenUrl !== undefined) return { issuer: issuer ?? tokenUrl, token_endpoint: tokenUrl };
  return await discover(issuer ?? "", options);
}
