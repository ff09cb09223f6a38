import type { OAuth2Method } from "@sluice/contracts";
import { weakSecretReason } from "@sluice/signing";
import { ClientSecretBasic, ClientSecretPost, type ClientAuth } from "oauth4webapi";

/** How the gateway authenticates at an introspection endpoint, by the secret as it is now. The function throws an Error that names what cannot be used. */
export function clientAuthenticator(
  { authMethod, clientSecret = "", privateKey = "" }: OAuth2Method,
  secret: (reference: string) => string,
): () => ClientAuth {
  if (authMethod === "private_key_jwt") throw new Error(`${privateKey}: not yet`);
  const make = authMethod === "client_secret_post" ? ClientSecretPost : ClientSecretBasic;
  return () => make(strong(clientSecret, secret(clientSecret)));
}

function strong(reference: string, secret: string): string {
  const reason = weakSecretReason(secret);
  if (reason === undefined) return secret;
  throw new Error(`${reference} is too weak: ${reason}; have one of at least 16 random bytes issued`);
}
