import { eraseQuestionSchema, personAnswerSchema, personQuestionSchema } from "@sluice/contracts";
import { adminRoute } from "./route.ts";

const params = personQuestionSchema.pick({ tenant: true });

export const auditPersonRoute = adminRoute({
  method: "POST",
  path: "/v1/tenants/:tenant/audit/person",
  summary: "What the trail has of somebody, who is named in the body as they are in no address; changes nothing",
  role: "admin",
  params,
  body: personQuestionSchema.pick({ subject: true }),
  answer: personAnswerSchema,
  handle: ({ params: { tenant }, body: { subject } }, { trail }) => trail.person(tenant, subject),
});

export const auditEraseRoute = adminRoute({
  method: "POST",
  path: "/v1/tenants/:tenant/audit/erase",
  summary:
    "Forget somebody: what stands behind the commitment, its salt, and what was captured and kept of their calls",
  role: "admin",
  params,
  body: eraseQuestionSchema.pick({ commitment: true }),
  answer: personAnswerSchema,
  // The person is named by what is left of them.
  change: { action: "audit.erase", subject: ({ body: { commitment } }) => commitment },
  handle: ({ params: { tenant }, body: { commitment } }, { trail }) => trail.erase(tenant, commitment),
});
