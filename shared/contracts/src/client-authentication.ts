import { z } from "zod";
import { secretReference } from "./secret-reference.ts";

/** Where an authorization server, or another that is asked about credentials, is reached. */
export const serverAddress = z.url({ protocol: /^https?$/, error: "must be an https:// URL" }).refine((url) => {
  const { username, password, hash } = new URL(url);
  return username === "" && password === "" && hash === "";
}, "must hold no user, password or fragment");

/** What a client assertion can be signed with (RFC 7518, RFC 9864). */
export const assertionAlgorithms = [
  ...["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"],
  ...["ES256", "ES384", "ES512", "EdDSA", "Ed25519"],
] as const;

/** How the gateway authenticates at an authorization server (RFC 6749 §2.3, RFC 7523). */
export const clientAuthentication = {
  clientId: z.string().min(1).max(512),
  authMethod: z.enum(["client_secret_basic", "client_secret_post", "private_key_jwt"]).default("client_secret_basic"),
  clientSecret: secretReference.optional(),
  /** PKCS#8 in PEM, or a JWK. */
  privateKey: secretReference.optional(),
  keyId: z.string().min(1).max(256).optional(),
  /** Default: what fits the key. */
  algorithm: z.enum(assertionAlgorithms).optional(),
};

type Settings = Omit<z.infer<z.ZodObject<typeof clientAuthentication>>, "clientId">;

/** Says what is missing or too much for the chosen way. */
export function checkClientAuthentication(
  value: Settings,
  complain: (key: keyof Settings, message: string) => void,
): void {
  const byKey = value.authMethod === "private_key_jwt";
  if (byKey && value.privateKey === undefined) complain("privateKey", "private_key_jwt needs a privateKey");
  if (!byKey && value.clientSecret === undefined) complain("clientSecret", `${value.authMethod} needs a clientSecret`);
  if (byKey && value.clientSecret !== undefined) complain("clientSecret", "private_key_jwt uses no clientSecret");
  for (const key of ["privateKey", "keyId", "algorithm"] as const)
    if (!byKey && value[key] !== undefined) complain(key, "only private_key_jwt uses it");
}
