import { weakSecretReason } from "@sluice/signing";
import { SecretProblem } from "./secrets.ts";

/**
 * Passes on what a reference stands for, where it is strong enough to protect anything (A4).
 * @throws SecretProblem that names the reference and what is wrong, never the secret
 */
export function requireStrong(reference: string, secret: string): string {
  const reason = weakSecretReason(secret);
  if (reason !== undefined)
    throw new SecretProblem(reference, `is too weak: ${reason}; have one of at least 16 random bytes issued`);
  return secret;
}
