import { readFile } from "node:fs/promises";
import pg from "pg";

/** Files of certificates, by the names that services have for them. */
export type DatabaseFiles = Readonly<
  Partial<Record<"DATABASE_CA_FILE" | "DATABASE_CERT_FILE" | "DATABASE_KEY_FILE", string | undefined>>
>;

const connectTimeoutMs = 10_000;

/**
 * One connection, for who administrates a database. As with the services there is no TLS, or it is verified: `sslmode` of the
 * URL decides, and a file where that says nothing.
 */
export async function connect(url: string, files: DatabaseFiles = {}): Promise<pg.Client> {
  const [ca, cert, key] = await Promise.all(
    [files.DATABASE_CA_FILE, files.DATABASE_CERT_FILE, files.DATABASE_KEY_FILE].map(read),
  );
  const place = new URL(url);
  const mode = place.searchParams.get("sslmode");
  for (const name of ["sslmode", "ssl"]) place.searchParams.delete(name);
  const isClear = mode === "disable" || (mode === null && ca === undefined && cert === undefined);
  const client = new pg.Client({
    connectionString: place.href,
    ssl: isClear ? false : { ...(ca !== undefined && { ca }), ...(cert !== undefined && { cert }), key },
    application_name: "sluice-owner",
    connectionTimeoutMillis: connectTimeoutMs,
  });
  // A connection that breaks while nothing is asked tells nobody else.
  client.on("error", () => {});
  await client.connect();
  return client;
}

async function read(file: string | undefined): Promise<string | undefined> {
  return file === undefined || file === "" ? undefined : readFile(file, "utf8");
}
