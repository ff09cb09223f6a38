#!/bin/sh
# Run by the image of Postgres on an empty volume, and by hand on an older one (docs/operations.md): the logins of who uses the audit trail.
# Its tables are made by the container audit-migrate, as their owner. Run again it sets the passwords anew.
set -e
psql -v ON_ERROR_STOP=1 -U "$POSTGRES_USER" -d "$POSTGRES_DB" \
  -v audit="$POSTGRES_AUDIT_PASSWORD" -v signer="$POSTGRES_SIGNER_PASSWORD" -v reader="$POSTGRES_READER_PASSWORD" \
  -v content="$POSTGRES_CONTENT_READER_PASSWORD" -v keeper="$POSTGRES_KEEPER_PASSWORD" <<'SQL'
do $$
declare
  name text;
begin
  foreach name in array array['audit_writer', 'audit_signer', 'audit_reader', 'audit_content_reader', 'audit_keeper',
    'sluice_audit', 'sluice_signer', 'sluice_reader', 'sluice_content_reader', 'sluice_keeper'] loop
    if not exists (select from pg_roles where rolname = name) then
      execute format('create role %I nologin', name);
    end if;
  end loop;
end
$$;
alter role sluice_audit login password :'audit';
alter role sluice_signer login password :'signer';
alter role sluice_reader login password :'reader';
alter role sluice_content_reader login password :'content';
alter role sluice_keeper login password :'keeper';
grant audit_writer to sluice_audit;
grant audit_signer to sluice_signer;
grant audit_reader to sluice_reader;
grant audit_reader, audit_content_reader to sluice_content_reader;
grant audit_keeper to sluice_keeper;
revoke connect, temporary on database sluice from public;
grant connect on database sluice to sluice_audit, sluice_signer, sluice_reader, sluice_content_reader, sluice_keeper;
SQL
