import type { Credentials } from "@sluice/contracts";
import type { Credential, CredentialContext } from "./credential.ts";
import { headerCredential } from "./header.ts";
import { clientCredentials } from "./oauth2-client-credentials.ts";

export type { Credential, Fields, TokenRequests } from "./credential.ts";

type Kinds = {
  readonly [Type in Credentials["type"]]: (
    settings: Extract<Credentials, { type: Type }>,
    context: CredentialContext,
  ) => Credential;
};

const kinds: Kinds = {
  header: headerCredential,
  oauth2ClientCredentials: clientCredentials,
};

/**
 * Makes ready what an endpoint's `credentials` ask for; reads its secrets, but fetches nothing yet.
 * @throws Error that says what is wrong with them, without a secret
 */
export function openCredential(context: CredentialContext): Credential | undefined {
  const settings = context.endpoint.credentials;
  if (settings === undefined) return undefined;
  const open = kinds[settings.type] as (settings: Credentials, context: CredentialContext) => Credential;
  return open(settings, context);
}
