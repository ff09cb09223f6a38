import { z } from "zod";
import { adminRoute } from "./route.ts";

export const confRollbackRoute = adminRoute({
  method: "POST",
  path: "/v1/conf/rollback",
  summary: "Puts the text of an earlier version back into tenants.yaml, and so into force under a new version",
  role: "admin",
  body: z.strictObject({ version: z.int().min(1) }),
  answer: z.object({
    version: z.int().describe("in force now"),
    kept: z.string().optional().describe("where the file is kept that was not in force and had to make room"),
  }),
  change: { action: "conf.rollback", subject: ({ body }) => `version ${body.version}` },
  handle: ({ body, operator }, { editions }) => editions.rollback(body.version, operator.name),
});
