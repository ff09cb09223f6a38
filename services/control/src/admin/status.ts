import { z } from "zod";
import { adminRoute } from "./route.ts";

const answer = z.object({
  configuration: z.object({
    version: z.int(),
    loadedAt: z.string(),
    error: z.string().optional().describe("why the file as it is now is not in force"),
    warnings: z.array(z.string()).readonly().optional().describe("what is in force and most likely not what was meant"),
    publishing: z.string().optional().describe("why the bus does not take the configuration; it is tried again"),
  }),
  tenants: z.array(z.string()).readonly(),
  services: z.record(z.string(), z.int()).describe("replicas alive, by service"),
});

export const statusRoute = adminRoute({
  method: "GET",
  path: "/v1/status",
  summary: "The configuration in force, its tenants, and the replicas alive",
  role: "auditor",
  answer,
  handle: (_input, { configuration, replicas }) => ({
    configuration: configuration.status,
    tenants: configuration.tenants,
    services: replicas(),
  }),
});
