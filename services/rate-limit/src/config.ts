import { integer, pemFile, redisUrl } from "@sluice/runtime";
import { z } from "zod";

export const configSchema = z.object({
  REDIS_URL: redisUrl,
  REDIS_CA_FILE: pemFile,
  REDIS_CERT_FILE: pemFile,
  REDIS_KEY_FILE: pemFile,
  /** How long Redis may take before this replica grants its own share. */
  REDIS_TIMEOUT_MS: integer(10, 60_000).default(200),
});
export type Config = z.infer<typeof configSchema>;
