import { resolveSecret } from "@sluice/runtime";
import { weakSecretReason } from "@sluice/signing";

/**
 * The secret behind a reference.
 * @throws Error that names the reference and what is wrong, never the secret, where it is missing or weak
 */
export function strongSecret(reference: string): string {
  const secret = resolveSecret(reference);
  const reason = weakSecretReason(secret);
  if (reason !== undefined)
    throw new Error(`${reference} is too weak: ${reason}; have one of at least 16 random bytes issued`);
  return secret;
}
