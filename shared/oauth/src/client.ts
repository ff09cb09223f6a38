import type { ClientCredentials } from "@sluice/contracts";
import { requireStrong, type Secrets } from "@sluice/secrets";
import { ClientSecretBasic, ClientSecretPost, modifyAssertion, PrivateKeyJwt, type ClientAuth } from "oauth4webapi";
import { readClientKey } from "./client-key.ts";

type ClientSettings = Pick<ClientCredentials, "authMethod" | "clientSecret" | "privateKey" | "keyId" | "algorithm">;

/** How the gateway proves who it is to the authorization server: with the last secret that is good for it. */
export interface OAuthClient {
  current(): ClientAuth;
  /** Takes over the secret as it is now. @throws SecretProblem where it is of no use; the one before stays */
  read(): void;
  /** Looks whether there is a newer one. */
  lookAgain(): void;
}

/** @throws SecretProblem */
export function openClient(settings: ClientSettings, secrets: Pick<Secrets, "value" | "again">): OAuthClient {
  const reference = (settings.authMethod === "private_key_jwt" ? settings.privateKey : settings.clientSecret) ?? "";
  let current = clientAuth(settings, reference, secrets.value(reference));
  return {
    current: () => current,
    lookAgain: () => secrets.again(reference),
    read: () => (current = clientAuth(settings, reference, secrets.value(reference))),
  };
}

function clientAuth(settings: ClientSettings, reference: string, secret: string): ClientAuth {
  if (settings.authMethod === "private_key_jwt") {
    const { algorithm, ...key } = readClientKey(reference, secret, settings);
    return PrivateKeyJwt(key, { [modifyAssertion]: (header) => (header["alg"] = algorithm) });
  }
  requireStrong(reference, secret);
  return settings.authMethod === "client_secret_post" ? ClientSecretPost(secret) : ClientSecretBasic(secret);
}
