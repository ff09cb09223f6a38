import { auditRoles, auditSchema, connect, migrate, missingMigrations } from "@sluice/schema";
import { readRunFile } from "./run-file.ts";

export interface MigrateFlags {
  readonly data: string;
}

/** Applies the migrations of the audit trail as the owner of the database, and says what it did and who may do what. */
export async function migrateAudit({ data }: MigrateFlags, env = process.env): Promise<void> {
  const say = (line: string) => void process.stdout.write(`${line}\n`);
  const url = env["DATABASE_URL"] || (await readRunFile(data)).databaseUrl;
  const client = await connect(url, env).catch((error: Error) => {
    throw new Error(`the database does not let its owner in: ${error.message}`, { cause: error });
  });
  try {
    for (const name of await missingMigrations(client, auditSchema)) say(`to be applied: ${name}`);
    const applied = await migrate(client, auditSchema);
    say(applied.length === 0 ? "the audit trail is up to date" : `applied: ${applied.join(", ")}`);
    say("make logins members of the roles that they need (grant ROLE to LOGIN):");
    for (const [role, rights] of Object.entries(auditRoles)) say(`  ${role.padEnd(20)}  ${rights}`);
  } finally {
    await client.end().catch(() => {});
  }
}
