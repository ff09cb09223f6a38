import { databaseUrl, integer, pemFile } from "@sluice/runtime";
import { z } from "zod";

/** What audit reads from the environment beside the base settings. */
export const configSchema = z.object({
  DATABASE_URL: databaseUrl,
  /** A login that may delete, for retention and to forget people; without it neither is done. */
  AUDIT_KEEPER_DATABASE_URL: databaseUrl.optional(),
  /** With which the trail is read for operators; and what calls said, which nobody can read there without it. */
  AUDIT_READER_DATABASE_URL: databaseUrl.optional(),
  AUDIT_CONTENT_DATABASE_URL: databaseUrl.optional(),
  /** How often events that are older than retentionDays are looked for. */
  AUDIT_RETENTION_INTERVAL_MS: integer(1_000, 86_400_000).default(86_400_000),
  DATABASE_CA_FILE: pemFile,
  DATABASE_CERT_FILE: pemFile,
  DATABASE_KEY_FILE: pemFile,
  /** Below it destinations of type `file` write; none do where it is missing. */
  AUDIT_FILE_DIR: z.string().min(1).optional(),
  /** Who may have issued the certificates of destinations, beside the well-known authorities. */
  AUDIT_DESTINATIONS_CA_FILE: pemFile,
  /** How long a message may be in work before another replica gets it. */
  AUDIT_ACK_WAIT_MS: integer(1_000, 3_600_000).default(15_000),
  /** A transaction is begun with this many events, or this long after the first. */
  AUDIT_BATCH_EVENTS: integer(1, 10_000).default(500),
  AUDIT_BATCH_WAIT_MS: integer(0, 60_000).default(50),
});
export type AuditConfig = z.output<typeof configSchema>;
