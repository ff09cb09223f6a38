import { readSecretReference } from "@sluice/contracts";

/** Every reference in a piece of configuration, however deep. */
export function referencesIn(conf: unknown): string[] {
  if (typeof conf === "string") return typeof readSecretReference(conf) === "string" ? [] : [conf];
  return typeof conf === "object" && conf !== null ? Object.values(conf).flatMap(referencesIn) : [];
}
