import { z } from "zod";
import {
  assertionAlgorithms,
  checkClientAuthentication,
  clientAuthentication,
  serverAddress,
} from "./client-authentication.ts";
import { headerCredentialsSchema } from "./upstream-credentials.ts";

/** `authentication` of a tenant: the ways in which its agents say who they are (seed 001 §2). */

/** Names that HTTP, MCP or this gateway gives a meaning of their own. */
const takenHeader =
  /^(?:authorization|host|accept|cookie|origin|connection|user-agent|referer|date|via|te|trailer|transfer-encoding|upgrade|expect|range|forwarded|last-event-id|traceparent|tracestate|(?:accept|content|mcp|if|sec|proxy|cache|keep|set|x-forwarded|x-verified-agent|nats)-.*)$/i;

const keyHeader = z
  .string()
  .regex(/^[A-Za-z0-9-]{1,64}$/, "must be a header name: letters, digits and dashes, at most 64")
  .refine(
    (headerName) => !takenHeader.test(headerName),
    "has a meaning of its own: name another one, such as x-agent-api-key (Authorization: Bearer is taken beside it)",
  );

/** A claim's name, or the way to a nested one with dots; seed 001 writes `#[vars.tokenClaims.name]`. */
const claim = z
  .string()
  .regex(/^(?:[\x21-\x7e]{1,256}|#\[vars\.tokenClaims\.[\x21-\x5c\x5e-\x7e]{1,256}\])$/, "must be the name of a claim");

/** Which claims of a token, or members of a validation endpoint's answer, say who calls. */
const extraction = (agentId: string, user: string) =>
  z
    .strictObject({
      /** Without it, or where it is no agent id, the credential is refused. */
      agentId: claim.default(agentId),
      agentName: claim.default("agent_name"),
      agentOwner: claim.default("owner"),
      /** On whose behalf the agent acts; left out where it is the agent itself. */
      user: claim.default(user),
    })
    .prefault({});
export type IdentityExtraction = z.infer<ReturnType<typeof extraction>>;

/** How long an answer about a credential serves: also how long a withdrawn one does, at most. */
const cacheSeconds = z.int().min(1).max(3_600).default(3);

/** Only credentials that begin so are shown to the server that is asked. */
const prefix = z.string().regex(/^[\x21-\x7e]{1,64}$/, "must be visible ASCII, at most 64 characters");

const apiKeySchema = z
  .strictObject({
    type: z.literal("apiKey"),
    headerName: keyHeader.default("x-agent-api-key"),
    /** Asked about keys in that header that `agents` does not have. */
    validationEndpoint: serverAddress.optional(),
    /** What the gateway shows to it. */
    validationCredentials: headerCredentialsSchema.optional(),
    keyPrefix: prefix.optional(),
    cacheSeconds,
    identityExtraction: extraction("agent_id", "user"),
  })
  .check(({ value, issues }) => {
    for (const key of ["validationCredentials", "keyPrefix"] as const)
      if (value.validationEndpoint === undefined && value[key] !== undefined)
        issues.push({ code: "custom", message: "only a validationEndpoint uses it", path: [key], input: value });
  });
export type ApiKeyMethod = z.infer<typeof apiKeySchema>;

const scopeList = z.array(z.string().regex(/^[\x21\x23-\x5b\x5d-\x7e]+$/, "must be one scope, without spaces")).max(64);

const oauth2Schema = z
  .strictObject({
    type: z.literal("oauth2ClientCredentials"),
    /** The authorization server, as `iss` of its tokens names it; its metadata says where its keys are, unless `jwksUrl` does. */
    issuer: serverAddress.optional(),
    jwksUrl: serverAddress.optional(),
    /** RFC 7662. Asked about opaque tokens, and about JWTs too where there is no `jwksUrl`. */
    introspectionUrl: serverAddress.optional(),
    /** Where agents get tokens. Agents find it in the issuer's metadata; the gateway itself never asks it. */
    tokenUrl: serverAddress.optional(),
    /** As what the gateway asks `introspectionUrl`. */
    ...clientAuthentication,
    clientId: clientAuthentication.clientId.optional(),
    /** Which opaque tokens are this server's, where several are asked about such. */
    tokenPrefix: prefix.optional(),
    /** What `aud` must name; the gateway's own URL unless said. `any` takes tokens for whatever else too, and those without one. */
    audience: z
      .union([z.literal("any"), z.string().min(1).max(1_024), z.array(z.string().min(1).max(1_024)).min(1)])
      .optional(),
    /** A token is this tenant's only where this claim has this value; the tenant's name unless said. */
    tenantClaim: z.strictObject({ name: claim, value: z.string().min(1).max(256).optional() }).optional(),
    /** All of them are needed; as a list, for every protocol. */
    requiredScopes: z
      .union([scopeList, z.strictObject({ mcp: scopeList.default([]), a2a: scopeList.default([]) })])
      .default([]),
    identityExtraction: extraction("client_id", "sub"),
    algorithms: z
      .array(z.enum(assertionAlgorithms))
      .min(1)
      .default([...assertionAlgorithms]),
    clockSkewSeconds: z.int().min(0).max(300).default(30),
    cacheSeconds,
  })
  .check(({ value, issues }) => {
    const complain = (key: keyof typeof value, message: string) =>
      issues.push({ code: "custom", message, path: [key], input: value });
    if (value.issuer === undefined && value.introspectionUrl === undefined)
      complain("issuer", "give an issuer (for JWTs) or an introspectionUrl");
    if (value.issuer === undefined && value.jwksUrl !== undefined) complain("issuer", "jwksUrl needs an issuer");
    if (value.introspectionUrl !== undefined) {
      if (value.clientId === undefined) complain("clientId", "introspectionUrl needs a clientId");
      checkClientAuthentication(value, complain);
      return;
    }
    for (const key of ["clientId", "clientSecret", "privateKey", "keyId", "algorithm", "tokenPrefix"] as const)
      if (value[key] !== undefined) complain(key, "only an introspectionUrl uses it");
  });
export type OAuth2Method = z.infer<typeof oauth2Schema>;

export const authenticationSchema = z.array(z.discriminatedUnion("type", [apiKeySchema, oauth2Schema]));
export type AuthenticationMethod = z.infer<typeof authenticationSchema>[number];

/** The same, as ingress gets them. */
export const ingressMethods = {
  /** Those whose keys an endpoint validates. */
  keyEndpoints: z.array(apiKeySchema).default([]),
  oauth2: z.array(oauth2Schema).default([]),
};
