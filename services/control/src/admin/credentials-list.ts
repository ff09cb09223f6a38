import type { CredentialKind } from "@sluice/contracts";
import { z } from "zod";
import { credentialAnswer, requireTenant, tell, tenantParams } from "./credential.ts";
import { adminRoute, type AdminRoute } from "./route.ts";

const mostPerPage = 1_000;

/** Lists keys or tokens of a tenant in pages. */
const listRoute = (kind: CredentialKind): AdminRoute =>
  adminRoute({
    method: "GET",
    path: `/v1/tenants/:tenant/${kind}s`,
    summary: `The tenant's ${kind}s by id, without what they are shown with; expired ones for an hour`,
    role: "auditor",
    params: tenantParams,
    query: z.strictObject({
      agent: z.string().max(128).optional().describe("only this agent's"),
      after: z.string().max(64).optional().describe("`next` of the page before"),
      limit: z.coerce.number().int().min(1).max(mostPerPage).default(mostPerPage),
    }),
    answer: z.object({
      credentials: z.array(credentialAnswer),
      next: z.string().optional().describe("there are more after this id"),
    }),
    handle: ({ params, query }, parts) => {
      requireTenant(parts, params.tenant);
      const rest = parts.credentials
        .list(params.tenant, kind)
        .filter(({ agent, id }) => id > (query.after ?? "") && agent.id === (query.agent ?? agent.id));
      const page = rest.slice(0, query.limit);
      const last = rest.length > page.length ? page.at(-1)?.id : undefined;
      return { credentials: page.map(tell), ...(last !== undefined && { next: last }) };
    },
  });

export const listKeysRoute = listRoute("key");
export const listTokensRoute = listRoute("token");
