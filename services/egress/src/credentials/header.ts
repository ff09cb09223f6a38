import type { HeaderCredentials } from "@sluice/contracts";
import { requireStrong, SecretProblem } from "@sluice/secrets";
import type { Credential, CredentialContext } from "./credential.ts";

/** A fixed header field, such as an API key or a bearer token that somebody issued by hand. */
export function headerCredential(
  { headerName, value, prefix }: HeaderCredentials,
  { secrets }: Pick<CredentialContext, "secrets">,
): Credential {
  const secret = requireStrong(value, secrets.value(value));
  if (!/^[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?$/.test(secret))
    throw new SecretProblem(value, "a header field can't hold it: only visible ASCII may be in it, and no line break");
  const fields = { [headerName.toLowerCase()]: prefix === undefined ? secret : `${prefix} ${secret}` };
  return { fields: () => fields };
}
