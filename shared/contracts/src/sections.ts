import { z } from "zod";
import { accessRuleSchema } from "./access-rule.ts";
import { a2aSchemaOf } from "./conf-a2a.ts";
import { endpointSchema, prefixModeSchema, registrationSchema } from "./conf.ts";
import { limitSchema } from "./limits.ts";
import { agentSchema } from "./audit.ts";
import { gatewayAuditSchema, keptSchema } from "./audit-config.ts";
import { ingressMethods } from "./authentication.ts";
import { methodSectionSchema } from "./routes.ts";

/**
 * What control cuts out of the configuration for each service: KV keys `<service>.<tenant>_<piece>`, so that a service's
 * permissions cover only what it needs. `version` grows with every accepted edit.
 */

const version = z.int();

export const ingressSectionSchema = z.object({
  version,
  maxPayloadBytes: z.int(),
  /** The switch settings.mcp_enabled: what was begun while it was on ends with it. */
  mcpEnabled: z.boolean().optional(),
  /** Absent where every path has all the methods that it can have. */
  methods: methodSectionSchema.optional(),
  /** Refusals by rules and limits are answered with HTTP 200. */
  deniedWith200: z.boolean(),
  /** A tool in quarantine is answered as if there were none. */
  hidesQuarantine: z.boolean().optional(),
  /** In lower case. */
  keyHeaders: z.array(z.string()),
  /** SHA-256 of an API key in hex → who it is. */
  keys: z.record(z.string(), agentSchema),
  /** The tenant's agents that have no key there; the key store may have one. */
  agents: z.array(agentSchema).default([]),
  ...ingressMethods,
  /** How the servers share the address that stands for all of them. */
  toolPrefix: prefixModeSchema,
  registration: registrationSchema.prefault({}),
  /** The MCP endpoints; a tenant may have none. */
  servers: z.array(
    z.object({
      name: z.string(),
      responseTimeoutMs: z.int(),
      maxPayloadBytes: z.int(),
      forwardHeaders: z.array(z.string()),
    }),
  ),
  /** The switch settings.a2a_enabled. */
  a2aEnabled: z.boolean().optional(),
  /** The A2A endpoints, the default one first; a tenant may have none. */
  agentEndpoints: z
    .array(
      z.object({
        name: z.string(),
        responseTimeoutMs: z.int(),
        idleTimeoutMs: z.int(),
        maxPayloadBytes: z.int(),
        forwardHeaders: z.array(z.string()),
        publicCard: z.boolean(),
      }),
    )
    .default([]),
  /** What the audit trail gets of requests beside who, what and when. */
  kept: keptSchema.optional(),
});
export type IngressSection = z.infer<typeof ingressSectionSchema>;

export const policySectionSchema = z.object({
  version,
  mcpEnabled: z.boolean(),
  /** The tenant has agents behind the gateway, and they are switched on. */
  a2aEnabled: z.boolean().optional(),
  /** Who may not use a thing is answered as if there were none. */
  hideDenied: z.boolean(),
  accessRules: z.array(accessRuleSchema),
});
export type PolicySection = z.infer<typeof policySectionSchema>;

export const rateLimitSectionSchema = z.object({ version, limits: z.array(limitSchema) });
export type RateLimitSection = z.infer<typeof rateLimitSectionSchema>;

export const egressSectionSchema = z.object({
  version,
  toolPrefix: prefixModeSchema,
  endpoints: z.array(endpointSchema),
  /** Empty where settings.a2a_enabled is off. */
  agentEndpoints: a2aSchemaOf(endpointSchema.shape).shape.endpoints,
  /** Of the tenant's agents that call: what belongs to one that is listed no more is not told to anybody. */
  agentIds: z.array(z.string()).optional(),
  /** How ingress tells refusals, for the audit trail. */
  deniedWith200: z.boolean().optional(),
  hidesQuarantine: z.boolean().optional(),
  /** What the audit trail gets of answers. */
  kept: keptSchema.optional(),
});
export type EgressSection = z.infer<typeof egressSectionSchema>;

/**
 * Where the events of one log go and how long they are kept. What stands under `audit` beside the tenants is the section of
 * the log `_gateway` (`gatewayLog`), as if that were a tenant.
 */
export const auditSectionSchema = z.object({ version, ...gatewayAuditSchema.shape });
export type AuditSection = z.infer<typeof auditSectionSchema>;

export const sectionSchemas = {
  ingress: ingressSectionSchema,
  policy: policySectionSchema,
  "rate-limit": rateLimitSectionSchema,
  egress: egressSectionSchema,
  audit: auditSectionSchema,
} as const;
export type SectionName = keyof typeof sectionSchemas;
export type Sections = { [Name in SectionName]: z.infer<(typeof sectionSchemas)[Name]> };
