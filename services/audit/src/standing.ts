import { SchemaError } from "@sluice/schema";
import type { Log } from "@sluice/telemetry";
import type { ClientBase } from "pg";

/** What the login may do to the trail beyond what storing takes; undefined where that is nothing. */
export async function excessOf(client: ClientBase): Promise<string | undefined> {
  const { rows } = await client.query<{ login: string; isSuperuser: boolean; changes: boolean; owns: boolean }>(
    `select current_user as login, rolsuper as "isSuperuser",
       has_table_privilege('audit_events', 'update, delete, truncate') as changes,
       (select pg_has_role(relowner, 'member') from pg_class where oid = 'audit_events'::regclass) as owns
     from pg_roles where rolname = current_user`,
  );
  const [row] = rows;
  if (row?.isSuperuser === true) return `${row.login} is a superuser of the database and may change audit events`;
  if (row?.owns === true) return `${row.login} owns the audit events and may change them`;
  return row?.changes === true ? `${row.login} may change or delete audit events` : undefined;
}

/** What is to be mended of the database that the trail is in, told once in the log, and in `/health` for as long as it lasts. */
export class Standing {
  readonly #log: Log;
  #schema: string | undefined;
  #login: string | undefined;

  constructor(log: Log) {
    this.#log = log;
  }

  /** The database was reached. @param excess what the login may do and should not */
  found(excess: string | undefined): void {
    this.#schema = undefined;
    if (excess !== undefined && excess !== this.#login)
      this.#log.warn(
        { problem: excess },
        "the audit service should have a login of its own that may insert and select alone",
      );
    this.#login = excess;
  }

  missed(error: unknown): void {
    if (!(error instanceof SchemaError)) return;
    if (error.message !== this.#schema) this.#log.error({ problem: error.message }, "the audit database can't be used");
    this.#schema = error.message;
  }

  get problems(): readonly string[] {
    const login = this.#login === undefined ? [] : [`${this.#login}: give the audit service a login of its own`];
    return [...(this.#schema === undefined ? [] : [this.#schema]), ...login];
  }

  /** For `/health`. */
  report(): Record<string, string> {
    return {
      ...(this.#schema !== undefined && { schema: this.#schema }),
      ...(this.#login !== undefined && { login: this.#login }),
    };
  }
}
