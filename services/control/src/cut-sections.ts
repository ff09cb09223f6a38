import type { AllSections } from "@sluice/bus";
import {
  gatewayLog,
  httpMethods,
  type Agent,
  type AuditSection,
  type Conf,
  type EgressSection,
  type IngressSection,
  type Kept,
  type MethodSection,
  type PolicySection,
  type RateLimitSection,
  type Tenant,
} from "@sluice/contracts";

/** Cuts the configuration into what each service needs to know, and no more. */
export function cutSections(conf: Conf, version: number): AllSections {
  const each = <Section>(cut: (tenant: Tenant) => Section): ReadonlyMap<string, Section> =>
    new Map(Object.entries(conf.tenants).map(([name, tenant]) => [name, cut(tenant)]));
  return {
    ingress: each((tenant) => ingressSection(tenant, version)),
    policy: each((tenant): PolicySection => ({
      version,
      mcpEnabled: tenant.settings.mcp_enabled,
      a2aEnabled: tenant.settings.a2a_enabled && tenant.a2a.endpoints.length > 0,
      hideDenied: tenant.settings.hide_denied,
      accessRules: tenant.accessRules,
    })),
    "rate-limit": each((tenant): RateLimitSection => ({ version, limits: tenant.limits })),
    egress: each((tenant): EgressSection => ({
      version,
      toolPrefix: tenant.mcp.toolPrefix,
      deniedWith200: tenant.settings.denied_status === 200,
      hidesQuarantine: tenant.settings.hide_denied,
      endpoints: tenant.mcp.endpoints.map((endpoint) => ({
        ...endpoint,
        toolDefinitions: endpoint.toolDefinitions ?? tenant.settings.tool_definitions,
      })),
      agentEndpoints: tenant.settings.a2a_enabled ? tenant.a2a.endpoints : [],
      agentIds: tenant.agents.map(({ id }) => id),
      ...keptOf(tenant, "response"),
    })),
    audit: new Map([
      [gatewayLog, auditSection(conf.audit, version)],
      ...each((tenant) => auditSection(tenant.audit, version)),
    ]),
  };
}

function auditSection({ destinations, eventFormat, retentionDays }: Conf["audit"], version: number): AuditSection {
  return { version, destinations, eventFormat, ...(retentionDays !== undefined && { retentionDays }) };
}

function ingressSection(tenant: Tenant, version: number): IngressSection {
  const byKey = tenant.authentication.filter((method) => method.type === "apiKey");
  const takesKeys = byKey.length > 0;
  const keys = (takesKeys ? tenant.agents : []).flatMap((agent) =>
    agent.apiKeys.map((hash) => [hash.slice("sha256:".length), agentOf(agent)]),
  );
  const { max_payload_bytes: most } = tenant.settings;
  const methods = methodsOf(tenant);
  return {
    version,
    maxPayloadBytes: most,
    mcpEnabled: tenant.settings.mcp_enabled,
    hidesQuarantine: tenant.settings.hide_denied,
    ...(methods !== undefined && { methods }),
    deniedWith200: tenant.settings.denied_status === 200,
    keyHeaders: byKey.map((method) => method.headerName.toLowerCase()),
    keys: Object.fromEntries(keys),
    agents: tenant.agents.filter(({ apiKeys }) => !takesKeys || apiKeys.length === 0).map(agentOf),
    certificates: tenant.authentication.filter((method) => method.type === "mtls"),
    keyEndpoints: byKey.filter(({ validationEndpoint }) => validationEndpoint !== undefined),
    oauth2: tenant.authentication.filter((method) => method.type === "oauth2ClientCredentials"),
    toolPrefix: tenant.mcp.toolPrefix,
    registration: tenant.mcp.registration,
    servers: tenant.mcp.endpoints.map(({ name, responseTimeoutMs, maxPayloadBytes = most, forwardHeaders }) => ({
      name,
      responseTimeoutMs,
      maxPayloadBytes: Math.min(most, maxPayloadBytes),
      forwardHeaders,
    })),
    a2aEnabled: tenant.settings.a2a_enabled,
    agentEndpoints: defaultFirst(tenant.a2a).map(({ maxPayloadBytes = most, ...endpoint }) => ({
      name: endpoint.name,
      responseTimeoutMs: endpoint.responseTimeoutMs,
      idleTimeoutMs: endpoint.idleTimeoutMs,
      maxPayloadBytes: Math.min(most, maxPayloadBytes),
      forwardHeaders: endpoint.forwardHeaders,
      publicCard: endpoint.publicCard,
    })),
    ...keptOf(tenant, "request"),
  };
}

/** What is to be taken of requests or answers; nothing where that is none, so that nobody looks. */
function keptOf({ audit: { captureFields, content } }: Tenant, part: "request" | "response"): { kept?: Kept } {
  const fields = captureFields[part];
  const isContentKept = part === "request" ? content.requests : content.responses;
  if (fields.length === 0 && !isContentKept) return {};
  return { kept: { fields, ...(isContentKept && { contentBytes: content.maxBytes }) } };
}

function defaultFirst({ endpoints, defaultAgent }: Tenant["a2a"]): Tenant["a2a"]["endpoints"] {
  const isDefault = ({ name }: { name: string }) => name === defaultAgent;
  return [...endpoints.filter(isDefault), ...endpoints.filter((endpoint) => !isDefault(endpoint))];
}

/** What is left of the HTTP methods; undefined where that is all, so that ingress has nothing to look at. */
function methodsOf({ settings, routes }: Tenant): MethodSection | undefined {
  const everywhere = httpMethods.filter((method) => settings.allowed_methods.includes(method));
  if (everywhere.length === httpMethods.length && routes.length === 0) return undefined;
  return { everywhere, at: Object.fromEntries(routes.map(({ path, methods }) => [path, methods])) };
}

/** An agent of the file as it is known to who it calls. */
export function agentOf({ id, name, owner }: Tenant["agents"][number]): Agent {
  return { id, ...(name !== undefined && { name }), ...(owner !== undefined && { owner }) };
}
