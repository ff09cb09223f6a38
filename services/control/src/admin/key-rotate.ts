import { Fault } from "@sluice/contracts";
import { z } from "zod";
import * as shape from "./credential.ts";
import { adminRoute } from "./route.ts";

const longestOverlapSeconds = 90 * 86_400;

export const rotateKeyRoute = adminRoute({
  method: "POST",
  path: "/v1/tenants/:tenant/keys/:id/rotate",
  summary:
    "Make a key that takes another's place, for the same agent and scopes; the old one stays good for the overlap",
  role: "admin",
  params: shape.credentialParams,
  body: z.strictObject({
    overlapSeconds: z.int().min(0).max(longestOverlapSeconds),
    expiresInSeconds: shape.secondsField.optional().describe("of the new key; it does not expire unless said"),
  }),
  answer: shape.keyAnswer,
  status: 201,
  change: {
    action: "keys.rotate",
    subject: ({ params }) => `key ${params.id}`,
    made: ({ id }) => `key ${id}`,
  },
  handle: async ({ params, body, operator }, { credentials }) => {
    const old = credentials.require({ ...params, kind: "key" });
    const { agent, listed, scopes, tenant, expiresAtMs = Infinity, rotatedTo } = old.credential;
    if (rotatedTo !== undefined) throw new Fault("conflict", `key ${rotatedTo} has its place already: rotate that one`);
    if (expiresAtMs <= Date.now()) throw new Fault("conflict", "this key has expired: make a new one");
    const wanted = {
      kind: "key" as const,
      tenant,
      agent,
      listed,
      createdBy: operator.name,
      ...(scopes !== undefined && { scopes }),
      ...(body.expiresInSeconds !== undefined && { expiresAtMs: shape.afterSeconds(body.expiresInSeconds) }),
    };
    const made = await credentials.rotate(old, wanted, body.overlapSeconds * 1_000);
    return { ...shape.tell(made.credential), key: made.text };
  },
});
