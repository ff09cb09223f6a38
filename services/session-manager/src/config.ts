import { databaseUrl, integer, keyRing, pemFile, redisUrl } from "@sluice/runtime";
import { z } from "zod";

export const configSchema = z.object({
  REDIS_URL: redisUrl,
  REDIS_CA_FILE: pemFile,
  REDIS_CERT_FILE: pemFile,
  REDIS_KEY_FILE: pemFile,
  /** How long Redis may take; a question it does not answer in time stays unanswered. */
  REDIS_TIMEOUT_MS: integer(10, 60_000).default(500),
  /** Without it no A2A call that names a task or makes one is answered. */
  DATABASE_URL: databaseUrl.optional(),
  DATABASE_CA_FILE: pemFile,
  DATABASE_CERT_FILE: pemFile,
  DATABASE_KEY_FILE: pemFile,
  /** How long Postgres may take. */
  DATABASE_TIMEOUT_MS: integer(10, 60_000).default(1_000),
  /** How long an unused session is kept. */
  SESSION_TTL_SECONDS: integer(1, 30 * 86_400).default(3_600),
  /** Mediated sessions of one agent; the one that was unused for longest makes room for one more. */
  SESSION_MAX_PER_AGENT: integer(1, 1_000_000).default(1_000),
  /** How long an A2A task or context is known that nobody touches. */
  TASK_TTL_SECONDS: integer(60, 10 * 365 * 86_400).default(30 * 86_400),
  /** A2A tasks and contexts of one caller at one agent; those that ended first make room. */
  TASK_MAX_PER_CALLER: integer(1, 10_000_000).default(100_000),
  /** Tasks that may wait for Postgres while it is away; beyond it no new one is taken. */
  TASK_MAX_UNSTORED: integer(1, 1_000_000).default(50_000),
  /** What callers' webhooks are encrypted with; without one there are no push notifications. */
  PUSH_ENCRYPTION_KEY: keyRing.optional(),
  /** Webhooks of one A2A task. */
  PUSH_MAX_PER_TASK: integer(1, 10_000).default(16),
});
export type Config = z.infer<typeof configSchema>;
