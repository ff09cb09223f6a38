import { z } from "zod";
import { adminRoute } from "./route.ts";

const answer = z.object({
  configuration: z.looseObject({
    version: z.int(),
    loadedAt: z.string(),
    stale: z.boolean().describe("whether what stands in the file is not what is in force"),
    error: z.string().optional().describe("why the file as it is now is not in force, a line for each problem"),
    problems: z
      .array(
        z.object({
          file: z.string(),
          line: z.int(),
          column: z.int(),
          path: z.string().optional().describe("where in the configuration"),
          reason: z.string(),
        }),
      )
      .readonly()
      .optional()
      .describe("the same in parts"),
    warnings: z.array(z.string()).readonly().optional().describe("what is in force and most likely not what was meant"),
    publishing: z.string().optional().describe("why the bus does not take the configuration; it is tried again"),
  }),
  tenants: z.array(z.string()).readonly(),
  services: z.record(z.string(), z.int()).describe("replicas alive, by service"),
  problems: z
    .array(z.object({ service: z.string(), problem: z.string() }))
    .readonly()
    .describe("what services say is to be mended, such as an endpoint whose secret is missing"),
});

export const statusRoute = adminRoute({
  method: "GET",
  path: "/v1/status",
  summary: "The configuration in force, its tenants, and the replicas alive",
  role: "auditor",
  answer,
  handle: (_input, { configuration, replicas, problems }) => ({
    configuration: { ...configuration.status },
    tenants: configuration.tenants,
    services: replicas(),
    problems: problems(),
  }),
});
