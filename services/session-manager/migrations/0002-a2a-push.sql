-- Where callers want to be told of their tasks. What the webhook is, and its secrets, is encrypted.
create table a2a_push (
  -- Of the address that the agent is told.
  id               text primary key,
  tenant           text not null,
  server           text not null,
  -- Of the caller, and the agent's id that it called with.
  identity         text not null,
  agent            text not null,
  is_listed        boolean not null,
  -- The call that brought it.
  call             text not null,
  client_version   text not null,
  client_binding   text not null,
  upstream_version text not null,
  upstream_binding text not null,
  -- The agent's name of the task; NULL until the agent took it for one.
  task             text,
  -- What the caller calls it, where that differs.
  client_task      text,
  -- The caller's name of the configuration, and the agent's.
  config           text,
  upstream_config  text,
  -- What the caller has chosen to call the task, and other names that it goes by.
  chosen_task      text,
  renames          jsonb,
  -- AES-256-GCM over the webhook: nonce, tag, ciphertext; bound to tenant, identity, server, task, config and id.
  sealed           bytea not null,
  created_at       timestamptz not null default now(),
  expires_at       timestamptz not null
);
create unique index a2a_push_config on a2a_push (tenant, server, identity, task, config) where task is not null;
create index a2a_push_call on a2a_push (call);
create index a2a_push_expiry on a2a_push (expires_at);
