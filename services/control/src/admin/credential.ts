import {
  agentEntrySchema,
  credentialKinds,
  Fault,
  scopeSchema,
  visiblePrefix,
  type Agent,
  type Credential,
  type Tenant,
} from "@sluice/contracts";
import { z } from "zod";
import { agentOf } from "../cut-sections.ts";
import type { AdminParts } from "./parts.ts";

const msPerSecond = 1_000;
const longestSeconds = 10 * 366 * 86_400;

export const tenantParams = z.strictObject({ tenant: z.string().max(64) });
export const credentialParams = tenantParams.extend({ id: z.string().max(64) });
export const agentIdSchema = agentEntrySchema.shape.id;
export const agentFields = {
  name: z.string().min(1).max(256).optional().describe("of an agent that is not in tenants.yaml"),
  owner: z.string().min(1).max(256).optional().describe("of an agent that is not in tenants.yaml"),
};
export const scopesField = z.array(scopeSchema).max(64).optional();
export const secondsField = z.int().min(1).max(longestSeconds);

/** What is told of a key or token: never the text itself. */
export const credentialAnswer = z.object({
  id: z.string(),
  kind: z.enum(credentialKinds),
  prefix: z.string().describe("what it begins with"),
  tenant: z.string(),
  agent: z.string(),
  name: z.string().optional(),
  owner: z.string().optional(),
  listed: z.boolean().describe("the agent stands in tenants.yaml; the credential is good only while it does"),
  scopes: z.array(z.string()).optional(),
  runtime: z.string().optional(),
  user: z.string().optional().describe("the operator on whose behalf the agent acts"),
  createdAt: z.string(),
  createdBy: z.string(),
  expiresAt: z.string().optional(),
  expired: z.boolean(),
  rotatedTo: z.string().optional(),
});

/** With the text, which is shown this once. */
export const keyAnswer = credentialAnswer.extend({ key: z.string() });
export const tokenAnswer = credentialAnswer.extend({ token: z.string() });

export function tell(credential: Credential): z.input<typeof credentialAnswer> {
  const { agent, scopes, runtime, user, expiresAtMs, rotatedTo } = credential;
  return {
    id: credential.id,
    kind: credential.kind,
    prefix: visiblePrefix(credential.kind, credential.id),
    tenant: credential.tenant,
    agent: agent.id,
    listed: credential.listed,
    createdAt: timeOf(credential.createdAtMs),
    createdBy: credential.createdBy,
    expired: expiresAtMs !== undefined && expiresAtMs <= Date.now(),
    ...(agent.name !== undefined && { name: agent.name }),
    ...(agent.owner !== undefined && { owner: agent.owner }),
    ...(scopes !== undefined && { scopes: [...scopes] }),
    ...(runtime !== undefined && { runtime }),
    ...(user !== undefined && { user }),
    ...(expiresAtMs !== undefined && { expiresAt: timeOf(expiresAtMs) }),
    ...(rotatedTo !== undefined && { rotatedTo }),
  };
}

/** @throws Fault `not_found` */
export function requireTenant({ configuration }: AdminParts, name: string): Tenant {
  const tenant = configuration.tenant(name);
  if (tenant === undefined) throw new Fault("not_found", `there is no tenant ${name}`);
  return tenant;
}

/** Who a credential is to stand for: an agent of the file, or one that is only described here. */
export function agentFor(
  tenant: Tenant,
  wanted: { agent: string; name?: string | undefined; owner?: string | undefined },
): { agent: Agent; listed: boolean } {
  const { agent: id, name, owner } = wanted;
  const entry = tenant.agents.find((agent) => agent.id === id);
  if (entry === undefined) return { agent: { ...agentOf({ id, name, owner, apiKeys: [] }) }, listed: false };
  if (name !== undefined || owner !== undefined)
    throw new Fault("conflict", `agent ${id} stands in tenants.yaml, and so do its name and owner: leave them out`);
  return { agent: { id }, listed: true };
}

export function afterSeconds(seconds: number): number {
  return Date.now() + seconds * msPerSecond;
}

function timeOf(ms: number): string {
  return new Date(ms).toISOString();
}
