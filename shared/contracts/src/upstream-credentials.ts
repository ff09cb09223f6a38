import { z } from "zod";
import { secretReference } from "./secret-reference.ts";

/** Names that belong to the protocol, to the connection, to the gateway's own statements, or to signing. */
const reservedHeader =
  /^(?:accept|accept-.*|content-.*|user-agent|host|connection|keep-alive|transfer-encoding|te|trailer|upgrade|expect|proxy-.*|mcp-.*|last-event-id|traceparent|tracestate|baggage|forwarded|x-forwarded-.*|x-real-ip|x-verified-agent-.*|x-api-key-id|x-signature|x-timestamp|x-nonce|x-content-sha256|nats-.*)$/i;

const headerSchema = z.strictObject({
  type: z.literal("header"),
  headerName: z
    .string()
    .regex(/^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,128}$/, "must be the name of a header field")
    .refine((name) => !reservedHeader.test(name), "this header field is the protocol's or the gateway's own"),
  value: secretReference,
  /** Stands before the value, with a space between, such as `Bearer`. */
  prefix: z
    .string()
    .regex(/^[\x21-\x7e]{1,64}$/, "must be visible ASCII without spaces; one space is set after it")
    .optional(),
});
export type HeaderCredentials = z.infer<typeof headerSchema>;

const address = z.url({ protocol: /^https?$/, error: "must be an https:// URL" }).refine((url) => {
  const { username, password, hash } = new URL(url);
  return username === "" && password === "" && hash === "";
}, "must hold no user, password or fragment");

/** What a client assertion can be signed with (RFC 7518, RFC 9864). */
export const assertionAlgorithms = [
  ...["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"],
  ...["ES256", "ES384", "ES512", "EdDSA", "Ed25519"],
] as const;

const clientCredentialsSchema = z
  .strictObject({
    type: z.literal("oauth2ClientCredentials"),
    /** Names the authorization server: its metadata is asked for the token endpoint, unless `tokenUrl` stands too. */
    issuer: address.optional(),
    tokenUrl: address.optional(),
    clientId: z.string().min(1).max(512),
    authMethod: z.enum(["client_secret_basic", "client_secret_post", "private_key_jwt"]).default("client_secret_basic"),
    clientSecret: secretReference.optional(),
    /** PKCS#8 in PEM, or a JWK. */
    privateKey: secretReference.optional(),
    keyId: z.string().min(1).max(256).optional(),
    /** Default: what fits the key. */
    algorithm: z.enum(assertionAlgorithms).optional(),
    scopes: z.array(z.string().regex(/^[\x21\x23-\x5b\x5d-\x7e]+$/, "must be one scope, without spaces")).default([]),
    /** RFC 8707: what the token is for. */
    resource: z
      .url("must be an absolute URI")
      .regex(/^[^#]*$/, "must have no fragment")
      .optional(),
    /** The same for servers that want it under this name. */
    audience: z.string().min(1).max(1024).optional(),
  })
  .check(({ value, issues }) => {
    const complain = (key: keyof typeof value, message: string) =>
      issues.push({ code: "custom", message, path: [key], input: value });
    const byKey = value.authMethod === "private_key_jwt";
    if (value.issuer === undefined && value.tokenUrl === undefined) complain("tokenUrl", "give tokenUrl or issuer");
    if (byKey && value.privateKey === undefined) complain("privateKey", "private_key_jwt needs a privateKey");
    if (!byKey && value.clientSecret === undefined)
      complain("clientSecret", `${value.authMethod} needs a clientSecret`);
    if (byKey && value.clientSecret !== undefined) complain("clientSecret", "private_key_jwt uses no clientSecret");
    for (const key of ["privateKey", "keyId", "algorithm"] as const)
      if (!byKey && value[key] !== undefined) complain(key, "only private_key_jwt uses it");
  });
export type ClientCredentials = z.infer<typeof clientCredentialsSchema>;

/** What the gateway shows to an upstream. */
export const credentialsSchema = z.discriminatedUnion("type", [headerSchema, clientCredentialsSchema]);
export type Credentials = z.infer<typeof credentialsSchema>;
