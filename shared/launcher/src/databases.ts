import type { ServiceName } from "@sluice/contracts";
import { auditSchema, connect, ensureLogin, migrate, SchemaError, type AuditRole } from "@sluice/schema";
import type { Client, DatabaseError } from "pg";
import { LaunchError, type Part } from "./part.ts";
import type { HouseState } from "./state.ts";
import { ensureTasksDatabase } from "./tasks-database.ts";

/** Of each login on the audit database the name, and what it is a member of. */
const auditLogins = {
  audit: { name: "sluice_audit", memberOf: ["audit_writer"] },
  signer: { name: "sluice_signer", memberOf: ["audit_signer"] },
  reader: { name: "sluice_reader", memberOf: ["audit_reader"] },
  contentReader: { name: "sluice_content_reader", memberOf: ["audit_reader", "audit_content_reader"] },
  keeper: { name: "sluice_keeper", memberOf: ["audit_keeper"] },
} as const satisfies Record<string, { name: string; memberOf: readonly AuditRole[] }>;

/** Who has a login of its own: the services that use Postgres, by their names, and people's tools. */
export const databaseUsers = [
  ...(Object.keys(auditLogins) as (keyof typeof auditLogins)[]),
  "session-manager",
] as const;
export type DatabaseUser = (typeof databaseUsers)[number];
/** Where each connects to, password included. */
export type DatabaseUrls = Readonly<Record<DatabaseUser, string>>;

const lockKey = 7_583_223;

/**
 * Brings the audit trail's schema up to date and makes the logins of a house, as the user of the part's URL: on a cluster of
 * the house's own a superuser. On a cluster that others run the names of the logins have the house's own mark, so that several
 * houses can use it, with passwords of their own.
 * @throws LaunchError that says what to do
 */
export async function prepareDatabases(postgres: Part, state: HouseState, env = process.env): Promise<DatabaseUrls> {
  const isOwn = postgres.source !== "url";
  const nameOf = (name: string) => (isOwn ? name : `${name}_${state.databaseMark}`);
  const client = await connect(postgres.url, env).catch((error: Error) => {
    throw new LaunchError(`Postgres does not let the user of its URL in: ${error.message}`, { cause: error });
  });
  try {
    await client.query("select pg_advisory_lock($1)", [lockKey]);
    await migrate(client, auditSchema);
    const urls: Partial<Record<DatabaseUser, string>> = {};
    for (const [user, { name, memberOf }] of Object.entries(auditLogins)) {
      const login = { name: nameOf(name), password: state.databasePasswords[user as DatabaseUser] };
      await ensureLogin(client, { ...login, memberOf });
      urls[user as DatabaseUser] = urlFor(postgres.url, login);
    }
    const tasks = { name: nameOf("sluice_tasks"), password: state.databasePasswords["session-manager"] };
    await ensureLogin(client, tasks);
    const database = await ensureTasksDatabase(client, tasks.name);
    urls["session-manager"] = urlFor(postgres.url, { ...tasks, database });
    await letIn(client, { logins: Object.values(auditLogins).map(({ name }) => nameOf(name)), isOwn });
    return urls as DatabaseUrls;
  } catch (error) {
    throw explained(error as Error);
  } finally {
    await client.end().catch(() => {});
  }
}

/** What a service is told of its Postgres. */
export function databaseEnv(service: ServiceName, urls: DatabaseUrls): Record<string, string> {
  const own = (urls as Readonly<Record<string, string>>)[service];
  return {
    ...(own !== undefined && { DATABASE_URL: own }),
    ...(service === "audit" && {
      AUDIT_READER_DATABASE_URL: urls.reader,
      AUDIT_CONTENT_DATABASE_URL: urls.contentReader,
      AUDIT_KEEPER_DATABASE_URL: urls.keeper,
    }),
  };
}

interface UrlLogin {
  readonly name: string;
  readonly password: string;
  readonly database?: string;
}

function urlFor(url: string, { name, password, database }: UrlLogin): string {
  const own = new URL(url);
  own.username = name;
  own.password = password;
  if (database !== undefined) own.pathname = `/${database}`;
  return own.href;
}

/** On a cluster of the house's own being a login is no way into the database. */
async function letIn(client: Client, { logins, isOwn }: { logins: string[]; isOwn: boolean }): Promise<void> {
  const { rows } = await client.query<{ database: string }>("select quote_ident(current_database()) as database");
  const database = rows[0]?.database ?? "";
  const names = logins.map((name) => client.escapeIdentifier(name)).join(", ");
  await client.query(`grant connect on database ${database} to ${names}`);
  if (isOwn) await client.query(`revoke connect, temporary on database ${database} from public`);
}

/** PostgreSQL Error Codes: insufficient privilege. */
const notAllowed = "42501";

function explained(error: Error): Error {
  if (error instanceof SchemaError) return new LaunchError(error.message, { cause: error });
  if ((error as DatabaseError).code !== notAllowed) return error;
  return new LaunchError(
    `the user of DATABASE_URL may not make what the services need (${error.message}): it must own the database and may make roles and databases, which an administrator lets it by: alter role … createrole createdb`,
    { cause: error },
  );
}
