import { Fault } from "@sluice/contracts";
import { z } from "zod";
import * as shape from "./credential.ts";
import { adminRoute } from "./route.ts";

export const createTokenRoute = adminRoute({
  method: "POST",
  path: "/v1/tenants/:tenant/tokens",
  summary: "Make a gateway token for a run of an agent; the token is in this answer and nowhere else",
  role: "admin",
  params: shape.tenantParams,
  body: z.strictObject({
    runtime: shape.agentIdSchema.describe("the run's own id"),
    agent: shape.agentIdSchema.optional().describe("whose run it is; unless said, the runtime id is the agent's too"),
    ...shape.agentFields,
    scopes: shape.scopesField,
    ttlSeconds: shape.secondsField
      .optional()
      .describe("at most the tenant's mcp_token_ttl_seconds, which it is unless said"),
    forOperator: z
      .boolean()
      .default(false)
      .describe("the agent acts on behalf of the operator who asks; the token ends with the operator's own"),
  }),
  answer: shape.tokenAnswer,
  status: 201,
  change: {
    action: "tokens.create",
    subject: ({ body }) => `runtime ${body.runtime}`,
    made: ({ id }) => `token ${id}`,
  },
  handle: async ({ params, body, operator }, parts) => {
    const tenant = shape.requireTenant(parts, params.tenant);
    const { mcp_token_ttl_seconds: longest } = tenant.settings;
    const { ttlSeconds = longest, scopes, forOperator } = body;
    if (ttlSeconds > longest)
      throw new Fault("invalid_request", `body.ttlSeconds: this tenant's tokens are good for ${longest} s at most`);
    const ends = shape.afterSeconds(ttlSeconds);
    const made = await parts.credentials.create({
      kind: "token",
      tenant: params.tenant,
      ...shape.agentFor(tenant, { ...body, agent: body.agent ?? body.runtime }),
      runtime: body.runtime,
      createdBy: operator.name,
      expiresAtMs: forOperator ? Math.min(ends, operator.expiresAtMs ?? Infinity) : ends,
      ...(scopes !== undefined && { scopes }),
      ...(forOperator && { user: operator.name }),
    });
    return { ...shape.tell(made.credential), token: made.text };
  },
});
