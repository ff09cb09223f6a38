export { SecretProblem, Secrets, type SecretState, type SecretsOptions } from "./secrets.ts";
export { referencesIn } from "./references-in.ts";
export { requireStrong } from "./strong-secret.ts";
