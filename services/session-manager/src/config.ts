import { integer, pemFile, redisUrl } from "@sluice/runtime";
import { z } from "zod";

export const configSchema = z.object({
  REDIS_URL: redisUrl,
  REDIS_CA_FILE: pemFile,
  REDIS_CERT_FILE: pemFile,
  REDIS_KEY_FILE: pemFile,
  /** How long Redis may take; a question it does not answer in time stays unanswered. */
  REDIS_TIMEOUT_MS: integer(10, 60_000).default(500),
  /** How long an unused session is kept. */
  SESSION_TTL_SECONDS: integer(1, 30 * 86_400).default(3_600),
  /** Mediated sessions of one agent; the one that was unused for longest makes room for one more. */
  SESSION_MAX_PER_AGENT: integer(1, 1_000_000).default(1_000),
});
export type Config = z.infer<typeof configSchema>;
