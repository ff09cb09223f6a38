import { Fault } from "@sluice/contracts";
import { explainCall } from "../explain/explain-call.ts";
import { explanationSchema, questionSchema } from "../explain/question.ts";
import { adminRoute } from "./route.ts";

export const explainRoute = adminRoute({
  method: "POST",
  path: "/v1/policy/explain",
  summary: "Which access rule decides a call under the configuration in force, and what the other rules say",
  role: "auditor",
  body: questionSchema,
  answer: explanationSchema,
  handle: ({ body }, { configuration }) => {
    const { inForce } = configuration;
    if (inForce === undefined)
      throw new Fault(
        "unavailable",
        "tenants.yaml is broken since control started: what is in force is not known here",
      );
    return explainCall(inForce, body);
  },
});
