import { Fault } from "@sluice/contracts";
import { z } from "zod";
import * as shape from "./credential.ts";
import { adminRoute } from "./route.ts";

export const createKeyRoute = adminRoute({
  method: "POST",
  path: "/v1/tenants/:tenant/keys",
  summary: "Make an API key for an agent; the key is in this answer and nowhere else",
  role: "admin",
  params: shape.tenantParams,
  body: z.strictObject({
    agent: shape.agentIdSchema,
    ...shape.agentFields,
    scopes: shape.scopesField,
    expiresInSeconds: shape.secondsField.optional().describe("it does not expire unless said"),
  }),
  answer: shape.keyAnswer,
  status: 201,
  change: {
    action: "keys.create",
    subject: ({ body }) => `agent ${body.agent}`,
    made: ({ id }) => `key ${id}`,
  },
  handle: async ({ params, body, operator }, parts) => {
    const tenant = shape.requireTenant(parts, params.tenant);
    if (!tenant.authentication.some(({ type }) => type === "apiKey"))
      throw new Fault(
        "conflict",
        `tenant ${params.tenant} takes no API keys: add { type: apiKey } to tenants.${params.tenant}.authentication, or make a gateway token`,
      );
    const { agent, listed } = shape.agentFor(tenant, body);
    if (!listed && body.name === undefined)
      throw new Fault(
        "not_found",
        `tenants.yaml has no agent ${body.agent}; give a name for one that is not to stand there`,
      );
    const made = await parts.credentials.create({
      kind: "key",
      tenant: params.tenant,
      agent,
      listed,
      createdBy: operator.name,
      ...(body.scopes !== undefined && { scopes: body.scopes }),
      ...(body.expiresInSeconds !== undefined && { expiresAtMs: shape.afterSeconds(body.expiresInSeconds) }),
    });
    return { ...shape.tell(made.credential), key: made.text };
  },
});
