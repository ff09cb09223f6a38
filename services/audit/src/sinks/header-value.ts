import { SecretProblem } from "@sluice/secrets";
import { Away, type SinkContext } from "./sink.ts";

/** What a reference stands for, fit for a header. @throws Away, which says the reference and never the value */
export function headerValue(reference: string, secrets: SinkContext["secrets"]): string {
  const value = secretOf(reference, secrets);
  if (!/^[\x21-\x7e](?:[\x20-\x7e\t]*[\x21-\x7e])?$/.test(value))
    throw new Away(`${reference}: the secret holds characters that a header can't have`);
  return value;
}

/** @throws Away where it can't be read now */
export function secretOf(reference: string, secrets: SinkContext["secrets"]): string {
  try {
    return secrets.value(reference);
  } catch (error) {
    throw error instanceof SecretProblem ? new Away(error.message) : error;
  }
}
