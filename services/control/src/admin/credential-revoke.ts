import type { CredentialKind } from "@sluice/contracts";
import { credentialAnswer, credentialParams, tell } from "./credential.ts";
import { adminRoute, type AdminRoute } from "./route.ts";

/** Takes a key or token away. */
const revokeRoute = (kind: CredentialKind): AdminRoute =>
  adminRoute({
    method: "POST",
    path: `/v1/tenants/:tenant/${kind}s/:id/revoke`,
    summary: `Revoke a ${kind}: from now on it gets 401, and its streams end`,
    role: "admin",
    params: credentialParams,
    answer: credentialAnswer,
    change: { action: `${kind}s.revoke`, subject: ({ params }) => `${kind} ${params.id}` },
    handle: async ({ params }, { credentials }) => {
      const held = credentials.require({ ...params, kind });
      await credentials.revoke(held);
      return tell(held.credential);
    },
  });

export const revokeKeyRoute = revokeRoute("key");
export const revokeTokenRoute = revokeRoute("token");
