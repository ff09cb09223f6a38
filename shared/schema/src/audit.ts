import { join } from "node:path";
import type { Schema } from "./migrate.ts";

/** The audit trail's. Its owner applies it (`sluice audit migrate`); the services that use it check only. */
export const auditSchema: Schema = {
  migrations: join(import.meta.dirname, "../../../services/audit/migrations"),
  table: "audit_trail_migrations",
  lockKey: 7_583_221,
};

/** What logins are made members of, and what that lets them do. */
export const auditRoles = {
  audit_writer: "stores events and may read them; changes and deletes nothing",
  audit_signer: "reads the tree, never an event, and stores checkpoints",
  audit_reader: "reads everything but kept content",
  audit_content_reader: "reads kept content",
  audit_keeper: "reads everything and deletes what retention and erasure remove; stores nothing",
} as const;
export type AuditRole = keyof typeof auditRoles;
