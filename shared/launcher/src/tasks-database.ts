import type { Client } from "pg";

/**
 * The database of session-manager, its own but for one case: its tables stay where an earlier Sluice made them, beside the
 * audit trail, as long as nobody else has them; they are given to the login then.
 * @returns the name of the database
 */
export async function ensureTasksDatabase(client: Client, login: string): Promise<string> {
  const { rows } = await client.query<{ database: string; has: boolean }>(
    `select current_database() as database, exists (
       select from pg_class where oid = to_regclass('a2a_migrations') and pg_get_userbyid(relowner) in (current_user, $1)
     ) as has`,
    [login],
  );
  const here = rows[0];
  if (here?.has === true) {
    await handOver(client, { login, database: here.database });
    return here.database;
  }
  const name = client.escapeIdentifier(login);
  const { rowCount } = await client.query("select from pg_database where datname = $1", [login]);
  if (rowCount === 0) {
    // Who gives a database to a role must be able to become that role.
    await client.query(`grant ${name} to current_user`);
    await client.query(`create database ${name} owner ${name}`);
    await client.query(`revoke connect, temporary on database ${name} from public`);
  }
  return login;
}

async function handOver(client: Client, { login, database }: { login: string; database: string }): Promise<void> {
  const owner = client.escapeIdentifier(login);
  const { rows } = await client.query<{ what: string; schema: string }>(
    `select 'table ' || oid::regclass as what from pg_class
       where relnamespace = current_schema()::regnamespace and relkind = 'r' and relname like 'a2a\\_%'
         and pg_get_userbyid(relowner) <> $1
     union all
     select 'function ' || oid::regprocedure from pg_proc
       where pronamespace = current_schema()::regnamespace and proname like 'a2a\\_%' and pg_get_userbyid(proowner) <> $1`,
    [login],
  );
  if (rows.length === 0) return;
  const schema = await client.query<{ name: string }>("select quote_ident(current_schema()) as name");
  // Who gives a table to a role must be able to become that role, and the role to make tables there.
  await client.query(`grant ${owner} to current_user`);
  await client.query(`grant connect on database ${client.escapeIdentifier(database)} to ${owner}`);
  await client.query(`grant usage, create on schema ${schema.rows[0]?.name} to ${owner}`);
  for (const { what } of rows) await client.query(`alter ${what} owner to ${owner}`);
}
