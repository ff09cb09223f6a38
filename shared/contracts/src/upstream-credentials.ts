import { z } from "zod";
import { checkClientAuthentication, clientAuthentication, serverAddress } from "./client-authentication.ts";
import { secretReference } from "./secret-reference.ts";

/** Names that belong to the protocol, to the connection, to the gateway's own statements, or to signing. */
const reservedHeader =
  /^(?:accept|accept-.*|content-.*|user-agent|host|connection|keep-alive|transfer-encoding|te|trailer|upgrade|expect|proxy-.*|mcp-.*|last-event-id|traceparent|tracestate|baggage|forwarded|x-forwarded-.*|x-real-ip|x-verified-agent-.*|x-api-key-id|x-signature|x-timestamp|x-nonce|x-content-sha256|nats-.*)$/i;

export const headerCredentialsSchema = z.strictObject({
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
export type HeaderCredentials = z.infer<typeof headerCredentialsSchema>;

const clientCredentialsSchema = z
  .strictObject({
    type: z.literal("oauth2ClientCredentials"),
    /** Names the authorization server: its metadata is asked for the token endpoint, unless `tokenUrl` stands too. */
    issuer: serverAddress.optional(),
    tokenUrl: serverAddress.optional(),
    ...clientAuthentication,
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
    if (value.issuer === undefined && value.tokenUrl === undefined) complain("tokenUrl", "give tokenUrl or issuer");
    checkClientAuthentication(value, complain);
  });
export type ClientCredentials = z.infer<typeof clientCredentialsSchema>;

/** What the gateway shows to an upstream. */
export const credentialsSchema = z.discriminatedUnion("type", [headerCredentialsSchema, clientCredentialsSchema]);
export type Credentials = z.infer<typeof credentialsSchema>;
