import { z } from "zod";
import { versionText } from "./conf-edition.ts";
import { adminRoute } from "./route.ts";

export const confDiffRoute = adminRoute({
  method: "GET",
  path: "/v1/conf/diff",
  summary: "What changed between two versions of tenants.yaml, as a unified diff",
  role: "auditor",
  query: z.strictObject({
    from: versionText.optional().describe("the version before `to` where it is not said"),
    to: versionText.optional().describe("the version in force where it is not said"),
  }),
  answer: z.object({ from: z.int(), to: z.int(), diff: z.string() }),
  handle: ({ query: { from, to } }, { editions }) => editions.diff(from, to),
});
