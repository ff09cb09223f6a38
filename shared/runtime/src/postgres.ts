import { clientTls, type ClientTls, type ClientTlsReports } from "./client-tls.ts";
import { ConfigError } from "./config.ts";

/** What settings of a service say of its Postgres. */
export interface DatabaseConfig {
  readonly DATABASE_URL: string;
  readonly DATABASE_CA_FILE?: string | undefined;
  readonly DATABASE_CERT_FILE?: string | undefined;
  readonly DATABASE_KEY_FILE?: string | undefined;
}

/** For a Client or Pool of `pg`. */
export interface DatabaseOptions {
  readonly connectionString: string;
  readonly ssl: Partial<ClientTls> | false;
}

/** Those that are held to what they promise: certificate and host name are verified in each. */
const verifying = ["require", "verify-ca", "verify-full"];
const files = { sslrootcert: "DATABASE_CA_FILE", sslcert: "DATABASE_CERT_FILE", sslkey: "DATABASE_KEY_FILE" };

/**
 * `sslmode` of the URL decides about TLS: with `verify-full` the server's certificate and name are verified, and weaker modes
 * are taken for it or refused. With a CA or a client certificate it is what counts where the URL says nothing.
 * @throws ConfigError
 */
export function databaseOptions(config: DatabaseConfig, reports: ClientTlsReports): DatabaseOptions {
  const { DATABASE_CA_FILE: ca, DATABASE_CERT_FILE: cert, DATABASE_KEY_FILE: key } = config;
  const tls = clientTls("DATABASE", { ca, cert, key }, reports);
  const url = new URL(config.DATABASE_URL);
  const stated = url.searchParams.get("sslmode") ?? saidByDriver(url.searchParams.get("ssl"));
  const mode = stated ?? (tls === undefined ? "disable" : "verify-full");
  for (const [parameter, setting] of Object.entries(files))
    if (url.searchParams.has(parameter))
      throw new ConfigError(`DATABASE_URL: name the file of ${parameter} as ${setting}`);
  if (mode === "disable" && tls !== undefined)
    throw new ConfigError("DATABASE_URL: sslmode=disable contradicts DATABASE_CA_FILE and DATABASE_CERT_FILE");
  if (mode !== "disable" && !verifying.includes(mode))
    throw new ConfigError("DATABASE_URL: sslmode must be verify-full or disable");
  for (const parameter of ["sslmode", "ssl", "uselibpqcompat"]) url.searchParams.delete(parameter);
  return { connectionString: url.href, ssl: mode === "disable" ? false : (tls ?? {}) };
}

/** The word that node's own driver knows beside `sslmode`. */
function saidByDriver(ssl: string | null): string | undefined {
  if (ssl === null) return undefined;
  if (ssl === "false" || ssl === "0") return "disable";
  return ssl === "true" || ssl === "1" ? "verify-full" : ssl;
}
