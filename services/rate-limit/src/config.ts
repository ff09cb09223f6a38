import { integer } from "@sluice/runtime";
import { z } from "zod";

export const configSchema = z.object({
  REDIS_URL: z
    .string()
    .regex(/^rediss?:\/\/./, "must begin with redis:// or rediss://, such as redis://127.0.0.1:6379")
    .default("redis://127.0.0.1:6379"),
  /** How long Redis may take before this replica grants its own share. */
  REDIS_TIMEOUT_MS: integer(10, 60_000).default(200),
});
export type Config = z.infer<typeof configSchema>;
