import type { ClientBase } from "pg";
import type { AuditRole } from "./audit.ts";
import { scramVerifier } from "./scram.ts";

export interface Login {
  readonly name: string;
  readonly password: string;
  readonly memberOf?: readonly AuditRole[];
}

/** Makes a login, or gives the one that is there this password, and makes it a member of its groups, which must be there. */
export async function ensureLogin(client: ClientBase, { name, password, memberOf = [] }: Login): Promise<void> {
  const login = client.escapeIdentifier(name);
  const { rowCount } = await client.query("select from pg_roles where rolname = $1", [name]);
  const verb = rowCount === 0 ? "create" : "alter";
  await client.query(`${verb} role ${login} login password ${client.escapeLiteral(scramVerifier(password))}`);
  if (memberOf.length > 0) await client.query(`grant ${memberOf.join(", ")} to ${login}`);
}
