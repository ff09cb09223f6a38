import { Fault, type ClientCredentials } from "@sluice/contracts";
import { discover, openClient, problemOf, requestOptions, ServerProblem, type OAuthClient } from "@sluice/oauth";
import {
  clientCredentialsGrantRequest,
  processClientCredentialsResponse,
  type AuthorizationServer,
} from "oauth4webapi";
import { TlsInUse } from "../upstream-tls.ts";
import type { Credential, CredentialContext, TokenRequests } from "./credential.ts";
import { TokenKeeper, type Token } from "./token-keeper.ts";

/** Where the server does not say how long a token lives. */
const unsaidLifetimeMs = 300_000;

/**
 * OAuth 2.0 client credentials (RFC 6749 §4.4): a bearer token of the gateway's own, kept for all calls to the endpoint.
 * A token outlives a change of the secret that it was got with; the next one is asked for with the new secret.
 */
export function clientCredentials(
  settings: ClientCredentials,
  { tenant, endpoint, title, tokens: requests, secrets }: CredentialContext,
): Credential {
  const tls = new TlsInUse(secrets);
  tls.read(settings.tls);
  const tokens: TokenRequests =
    settings.tls === undefined ? requests : { ...requests, reach: (url) => requests.reach(url, tls.material) };
  for (const address of [settings.tokenUrl, settings.issuer]) if (address !== undefined) tokens.reach(new URL(address));
  const client = openClient(settings, secrets);
  const keeper = new TokenKeeper({
    fetch: tokenRequest({ settings, client, tokens }),
    failed: (error) => {
      if (error instanceof ServerProblem && error.isAboutClient) client.lookAgain();
      tokens.report(
        `tenant ${tenant}, endpoint ${endpoint.name}: no token from its authorization server: ${problemOf(error)}`,
      );
      return new Fault("upstream_failed", `the gateway has no valid credentials for the ${title} at the moment`);
    },
  });
  return {
    identity: JSON.stringify([endpoint.url, settings]),
    fields: () => {
      const token = keeper.take();
      return typeof token === "string" ? bearer(token) : token.then(bearer);
    },
    secretChanged: () => {
      tls.read(settings.tls);
      client.read();
    },
    refused: (fields) => keeper.drop((fields["authorization"] ?? "").slice("Bearer ".length)),
  };
}

function bearer(token: string) {
  return { authorization: `Bearer ${token}` };
}

interface TokenRequest {
  readonly settings: ClientCredentials;
  readonly client: OAuthClient;
  readonly tokens: TokenRequests;
}

function tokenRequest({ settings, client, tokens }: TokenRequest): (signal: AbortSignal) => Promise<Token> {
  const identified = { client_id: settings.clientId };
  const parameters = {
    ...(settings.scopes.length > 0 && { scope: settings.scopes.join(" ") }),
    ...(settings.resource !== undefined && { resource: settings.resource }),
    ...(settings.audience !== undefined && { audience: settings.audience }),
  };
  return async (signal) => {
    const options = requestOptions(tokens.reach, signal);
    const server = await serverOf(settings, options);
    const response = await clientCredentialsGrantRequest(server, identified, client.current(), parameters, options);
    const { access_token, token_type, expires_in } = await processClientCredentialsResponse(
      server,
      identified,
      response,
    );
    if (token_type !== "bearer") throw new ServerProblem("its token is of another type than bearer");
    if (!/^[\x21-\x7e]+$/.test(access_token)) throw new ServerProblem("its token can't stand in a header field");
    return { value: access_token, lifetimeMs: expires_in === undefined ? unsaidLifetimeMs : expires_in * 1000 };
  };
}

/** Where to ask: as configured, or as the issuer's metadata says, which is read anew for each token. */
async function serverOf(
  { issuer, tokenUrl }: ClientCredentials,
  options: ReturnType<typeof requestOptions>,
): Promise<AuthorizationServer> {
  if (tokenUrl !== undefined) return { issuer: issuer ?? tokenUrl, token_endpoint: tokenUrl };
  const server = await discover(issuer ?? "", options);
  if (server.token_endpoint === undefined) throw new ServerProblem("its metadata names no token endpoint");
  return server;
}
