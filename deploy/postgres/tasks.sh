#!/bin/sh
# Run by the image of Postgres on an empty volume: session-manager's own role and database, which reach nothing of the audit trail.
set -e
psql -v ON_ERROR_STOP=1 -v password="$POSTGRES_TASKS_PASSWORD" -U "$POSTGRES_USER" -d "$POSTGRES_DB" <<'SQL'
create role sluice_tasks login password :'password';
create database sluice_tasks owner sluice_tasks;
revoke connect, temporary on database sluice, sluice_tasks from public;
SQL
