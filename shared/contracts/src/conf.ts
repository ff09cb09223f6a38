import { z } from "zod";
import { accessRuleSchema } from "./access-rule.ts";
import { agentIdPattern } from "./audit.ts";
import { gatewayAuditSchema, tenantAuditSchema } from "./audit-config.ts";
import { authenticationSchema } from "./authentication.ts";
import { a2aSchemaOf, idleTimeoutMs } from "./conf-a2a.ts";
import { confName as name } from "./conf-name.ts";
import { limitSchema } from "./limits.ts";
import { allowedMethodsSchema, routeSchema } from "./routes.ts";
import { secretReference } from "./secret-reference.ts";
import { toolDefinitionsSchema } from "./tool-definitions.ts";
import { credentialsSchema } from "./upstream-credentials.ts";
import { checkTlsIsUsed, upstreamTlsSchema } from "./upstream-tls.ts";

/** `conf/tenants.yaml`: what a platform engineer edits. Names come from the seeds; everything has a default but the endpoints, of which there must be one. */

const payloadBytes = z
  .int()
  .min(1_024)
  .max(256 * 1024 * 1024);

export const signingSchema = z.strictObject({
  keyId: z.string().min(1).max(128),
  secret: secretReference,
  /** `auth-gateway` signs method, path and timestamp (seed 003); `strict` also query, body and a nonce. */
  mode: z.enum(["auth-gateway", "strict"]).default("auth-gateway"),
});
export type Signing = z.infer<typeof signingSchema>;

/** Paths below /mcp that are no server's. */
const ownPaths = ["initialize", "tools", "resources", "registration", "sse", "messages"];

export const endpointSchema = z
  .strictObject({
    name: name.refine((text) => !ownPaths.includes(text), "is a path of the gateway's own: choose another name"),
    url: z.url({ protocol: /^https?$/, error: "must be an http:// or https:// URL" }),
    signing: signingSchema.optional(),
    /** What the gateway authenticates with; signing may stand beside it. */
    credentials: credentialsSchema.optional(),
    /** Which certificates count on the way there. */
    tls: upstreamTlsSchema.optional(),
    /** Deadline until the upstream's answer begins, and between two bytes of a unary answer. */
    responseTimeoutMs: z.int().min(1_000).max(3_600_000).default(300_000),
    /** The longest silence of a stream of the server's own messages; without it such a stream may be silent for ever. */
    idleTimeoutMs: idleTimeoutMs.optional(),
    /** Largest request body; at most the tenant's `max_payload_bytes`, which holds without it. */
    maxPayloadBytes: payloadBytes.optional(),
    /** What it speaks: found out by asking unless said; `sse` is the old HTTP+SSE transport of 2024-11-05. */
    era: z.enum(["auto", "legacy", "modern", "sse"]).default("auto"),
    /** How long its lists are kept where it does not say so itself; 0: not at all. */
    listCacheSeconds: z.int().min(0).max(86_400).default(300),
    /** Whether its tools have to stay what was approved; the tenant's `tool_definitions` unless said. */
    toolDefinitions: toolDefinitionsSchema.optional(),
    /** Header fields of the client that travel on beside the protocol's own. */
    forwardHeaders: z.array(z.string().regex(/^[a-z0-9-]+$/, "must be a lower-case header name")).default([]),
  })
  .check(({ value: { url, tls }, issues }) => {
    checkTlsIsUsed(url, tls, (message) => issues.push({ code: "custom", message, path: ["tls"], input: tls }));
  });
export type Endpoint = z.infer<typeof endpointSchema>;

export const prefixModeSchema = z.enum(["always", "conditional", "never"]);
export type PrefixMode = z.infer<typeof prefixModeSchema>;

/** What the tenant's registration document says of it (seed 001 §6). */
export const registrationSchema = z.strictObject({
  /** The tenant's name unless said. */
  name: z.string().min(1).max(128).optional(),
  description: z.string().max(1_024).optional(),
  version: z.string().min(1).max(64).default("1.0.0"),
});

export const agentEntrySchema = z.strictObject({
  id: z.string().regex(agentIdPattern, "must be 1 to 128 letters, digits or . _ @ : -"),
  name: z.string().max(256).optional(),
  owner: z.string().max(256).optional(),
  /** `sha256:<hex>` of each key that is valid for this agent, beside those of the key store; the key itself is never stored. */
  apiKeys: z.array(z.string().regex(/^sha256:[0-9a-f]{64}$/, "must be sha256: and 64 hex digits")).default([]),
});

export const tenantSchema = z.strictObject({
  settings: z
    .strictObject({
      mcp_enabled: z.boolean().default(true),
      a2a_enabled: z.boolean().default(true),
      /** How long a gateway token is good. */
      mcp_token_ttl_seconds: z.int().min(1).max(31_536_000).default(3_600),
      max_payload_bytes: payloadBytes.default(32 * 1024 * 1024),
      allowed_methods: allowedMethodsSchema,
      /** What is denied answers like what does not exist, in place of 403 with its reason. */
      hide_denied: z.boolean().default(false),
      /** Whether tools have to stay what was approved, for endpoints that don't say. */
      tool_definitions: toolDefinitionsSchema.default("off"),
      /** HTTP status of refusals by rules and limits; the JSON-RPC error is the same. */
      denied_status: z.literal([403, 200]).default(403),
    })
    .prefault({}),
  authentication: authenticationSchema.prefault([{ type: "apiKey" }]),
  agents: z.array(agentEntrySchema).default([]),
  mcp: z
    .strictObject({
      /** How several endpoints share one list: names get their endpoint's in front always, where they collide, or never. */
      toolPrefix: prefixModeSchema.default("conditional"),
      endpoints: z.array(endpointSchema).default([]),
      registration: registrationSchema.prefault({}),
    })
    .prefault({}),
  a2a: a2aSchemaOf(endpointSchema.shape).prefault({}),
  /** Paths that are left fewer methods than they have. */
  routes: z.array(routeSchema).default([]),
  accessRules: z.array(accessRuleSchema).default([]),
  limits: z.array(limitSchema).default([]),
  audit: tenantAuditSchema.prefault({}),
});
export type Tenant = z.infer<typeof tenantSchema>;

export const confSchema = z.strictObject({
  tenants: z.record(name, tenantSchema),
  /** Where events go that are no tenant's. */
  audit: gatewayAuditSchema.prefault({}),
});
export type Conf = z.infer<typeof confSchema>;
