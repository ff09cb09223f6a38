import pg from "pg";
import { whereOf } from "./where.ts";

/** A connection of who may read the trail: to DATABASE_URL, or to what runs in this directory. @throws Error that says what to do */
export async function connectReader(dataDir: string): Promise<pg.Client> {
  const { databaseUrl } = await whereOf({ dataDir, databaseUrl: process.env["DATABASE_URL"] });
  const client = new pg.Client({
    connectionString: databaseUrl,
    application_name: "sluice-cli",
    connectionTimeoutMillis: 5_000,
  });
  client.on("error", () => {});
  await client.connect().catch((error: Error) => {
    throw new Error(`the audit database does not answer (${error.message})`);
  });
  return client;
}
