import { Fault, type OAuth2Method } from "@sluice/contracts";
import { isOutage, problemOf, requestOptions, ServerProblem, type OAuthClient, type Reach } from "@sluice/oauth";
import { introspectionRequest, processIntrospectionResponse } from "oauth4webapi";
import type { Claims } from "./claims.ts";
import { Gate, Outage } from "./gate.ts";

export interface IntrospectionOptions {
  readonly url: string;
  /** Whom an assertion of the client is for; `url` where there is none. */
  readonly issuer: string | undefined;
  readonly clientId: string;
  readonly client: OAuthClient;
  readonly reach: Reach;
  /** Told why a question was not answered, for operators. */
  readonly report: (problem: string) => void;
}

const timeoutMs = 5_000;
const cannotTell = "the token cannot be verified at the moment";

/** An authorization server that says what a token is good for (RFC 7662). */
export class Introspection {
  readonly #options: IntrospectionOptions;
  readonly #gate = new Gate();

  constructor(options: IntrospectionOptions) {
    this.#options = options;
  }

  /** What the server says of the token, which may have been good before; undefined where it is not good. @throws Fault where that cannot be found out */
  async ask(token: string, isKnown: boolean): Promise<Claims | undefined> {
    return await this.#gate.pass(isKnown, async () => {
      const { url, issuer = url, clientId, client, reach, report } = this.#options;
      const server = { issuer, introspection_endpoint: url };
      const identified = { client_id: clientId };
      try {
        const options = requestOptions(reach, AbortSignal.timeout(timeoutMs));
        const response = await introspectionRequest(server, identified, client.current(), token, options);
        const claims = await processIntrospectionResponse(server, identified, response);
        return claims.active ? claims : undefined;
      } catch (error) {
        if (error instanceof ServerProblem && error.isAboutClient) client.lookAgain();
        report(`introspection at ${new URL(url).origin}: ${problemOf(error)}`);
        if (isOutage(error)) throw new Outage(cannotTell);
        throw new Fault("upstream_unavailable", cannotTell);
      }
    });
  }
}

/** Two of the same ask the same server as the same client. */
export function introspectionKey(settings: OAuth2Method): string {
  const { introspectionUrl, issuer, clientId, authMethod, clientSecret, privateKey, keyId, algorithm } = settings;
  return JSON.stringify([introspectionUrl, issuer, clientId, authMethod, clientSecret, privateKey, keyId, algorithm]);
}
