-- One row per event: an attempt leaves an intent (who, what) and an outcome (how it ended). Never message content.
create table audit_events (
  -- '<call>.i' or '<call>.o': the same event stored twice is one row, whatever is delivered again.
  event_id       text primary key,
  -- The correlation id of the attempt.
  call           text not null,
  kind           text not null check (kind in ('intent', 'outcome')),
  at             timestamptz not null,
  stored_at      timestamptz not null default now(),
  -- Which replica of which service told it.
  reported_by    text not null,
  -- Of the request in an intent, of the answer in an outcome.
  bytes          bigint not null,

  tenant         text,
  agent_id       text,
  agent_name     text,
  agent_owner    text,
  auth           text,
  label          text,
  protocol       text,
  era            text,
  http           text,
  path           text,
  method         text,
  -- Tool or prompt name, or resource URI.
  target         text,
  server         text,
  -- First 16 hex digits of the SHA-256 of the session id, which is itself a secret.
  session_hash   text,
  rpc_id         text,
  trace          text,

  status         integer,
  decision       text,
  rule           text,
  policy_version bigint,
  fault          text,
  is_error       boolean,
  duration_ms    double precision,
  -- Streamed events.
  events         bigint,

  check (kind <> 'intent' or num_nulls(tenant, agent_id, auth, label, protocol, era, http, path, method, server, trace) = 0),
  check (kind <> 'outcome' or num_nulls(status, decision, duration_ms) = 0)
);

create index audit_events_at on audit_events (at) where kind = 'intent';
create index audit_events_tenant_at on audit_events (tenant, at) where kind = 'intent';
create index audit_events_agent_at on audit_events (agent_id, at) where kind = 'intent';
-- Rows come in this order, so that a few bytes per megabyte of table are enough to follow what is new.
create index audit_events_stored_at on audit_events using brin (stored_at);

create function audit_events_refuse() returns trigger language plpgsql as $$
begin
  raise exception 'audit_events is append-only: % is refused', tg_op;
end
$$;

create trigger audit_events_append_only before update or delete or truncate on audit_events
  for each statement execute function audit_events_refuse();

-- One row per attempt.
create view audit_calls as
select
  intent.call,
  intent.at,
  intent.tenant,
  intent.agent_id,
  intent.agent_name,
  intent.agent_owner,
  intent.auth,
  intent.label,
  intent.protocol,
  intent.era,
  intent.http,
  intent.path,
  intent.method,
  intent.target,
  intent.server,
  intent.session_hash,
  intent.rpc_id,
  intent.trace,
  intent.bytes as request_bytes,
  case when outcome.event_id is null then 'outcome unknown' else 'done' end as state,
  outcome.at as finished_at,
  outcome.status,
  outcome.decision,
  outcome.rule,
  outcome.policy_version,
  outcome.fault,
  outcome.is_error,
  outcome.duration_ms,
  outcome.bytes as response_bytes,
  outcome.events,
  outcome.reported_by,
  intent.stored_at,
  outcome.stored_at as outcome_stored_at
from audit_events as intent
left join audit_events as outcome on outcome.event_id = intent.call || '.o'
where intent.kind = 'intent';
