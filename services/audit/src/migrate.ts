import { databaseUrl, loadConfig, pemFile, settingsOf } from "@sluice/runtime";
import { auditSchema, connect, migrate } from "@sluice/schema";
import { createLog, describeError } from "@sluice/telemetry";
import { z } from "zod";

const configSchema = z.object({
  /** The owner's of the audit trail, who may make roles. */
  DATABASE_URL: databaseUrl,
  DATABASE_CA_FILE: pemFile,
  DATABASE_CERT_FILE: pemFile,
  DATABASE_KEY_FILE: pemFile,
});

const log = createLog("audit-migrate", "info");
try {
  const config = loadConfig(configSchema, await settingsOf([configSchema], log));
  const client = await connect(config.DATABASE_URL, config);
  try {
    log.info({ applied: await migrate(client, auditSchema) }, "the audit trail is up to date");
  } finally {
    await client.end();
  }
} catch (error) {
  log.fatal({ error: describeError(error) }, "the audit trail could not be brought up to date");
  process.exitCode = 1;
}
