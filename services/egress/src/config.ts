import { integer } from "@sluice/runtime";
import { z } from "zod";

export const configSchema = z.object({
  /** Which pool this replica works for; MCP and A2A traffic never share one. */
  EGRESS_POOL: z.enum(["mcp"]).default("mcp"),
  /** Calls under way at once; more are answered with 503. */
  EGRESS_MAX_IN_FLIGHT: integer(1, 100_000).default(2_000),
  /** Open connections to one upstream. */
  EGRESS_CONNECTIONS_PER_UPSTREAM: integer(1, 10_000).default(256),
  /** Largest list answer that is filtered; larger ones are refused, because they cannot be filtered. */
  EGRESS_MAX_LIST_BYTES: integer(1_024, 256 * 1024 * 1024).default(16 * 1024 * 1024),
});
export type EgressConfig = z.infer<typeof configSchema>;
