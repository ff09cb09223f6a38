-- The audit trail: docs/adr/0010-audit-trail.md. Applied by the owner of the schema; services have the roles below.

-- What was stored before there was a tree is kept aside as it was.
do $$
begin
  if to_regclass('audit_migrations') is not null and to_regclass('audit_events') is not null then
    create schema audit_before;
    drop view if exists audit_calls, audit_actions, audit_shadow_decisions, audit_stream_events;
    alter table audit_events set schema audit_before;
    alter table audit_migrations set schema audit_before;
    alter function audit_events_refuse() set schema audit_before;
  end if;
end
$$;

-- Who may do what; login roles are made members of these.
do $$
declare
  role text;
begin
  foreach role in array array['audit_writer', 'audit_signer', 'audit_reader', 'audit_content_reader', 'audit_keeper'] loop
    if not exists (select from pg_roles where rolname = role) then
      begin
        execute format('create role %I nologin', role);
      exception
        -- Roles are the cluster's: another database of it is being made at the same time.
        when duplicate_object or unique_violation then null;
      end;
    end if;
  end loop;
end
$$;

-- What stands behind the commitments of personal columns, and its salt; deleted when a person is forgotten.
create table audit_subjects (
  -- SHA-256 of the salt and the UTF-8 bytes of the value.
  commitment bytea primary key check (octet_length(commitment) = 32),
  log        text not null,
  value      text not null,
  salt       bytea not null check (octet_length(salt) = 32),
  unique (log, value)
);

-- One row per event, and one leaf of its log's tree per row.
create table audit_events (
  -- Stored twice it is one row, whatever is delivered again.
  event_id            text primary key,
  -- The tenant, or _gateway; and the leaf's index in the log's tree.
  log                 text not null,
  leaf_index          bigint not null check (leaf_index >= 0),
  -- RFC 9162 §2.1.1, of the canonical JSON of the columns that are not null, but for this one and leaf_index.
  leaf_hash           bytea not null check (octet_length(leaf_hash) = 32),
  -- Of the event's form: 1.
  schema              smallint not null,
  kind                text not null check (kind in ('intent', 'outcome', 'unknown', 'action', 'stream', 'refusals', 'content', 'emitter')),
  -- What belongs together: the correlation id of an attempt, the id of an action.
  call                text,
  at                  timestamptz not null,
  stored_at           timestamptz not null,
  -- Which replica told it, and which of its events it is.
  emitter             text not null,
  seq                 bigint,
  -- Of the request in an intent, of the answer in an outcome, of one event in a stream, of the whole in content.
  bytes               bigint,

  tenant              text,
  -- Commitments: audit_subjects has what they stand for.
  agent_id            bytea,
  agent_name          bytea,
  agent_owner         bytea,
  auth_user           bytea,
  peer                bytea,

  auth                text,
  auth_issuer         text,
  scopes              text[],
  label               text,
  protocol            text,
  era                 text,
  client_name         text,
  client_version      text,
  http                text,
  path                text,
  method              text,
  -- Tool or prompt name, or resource URI; and what it is where the method does not say it.
  target              text,
  target_kind         text,
  server              text,
  named_server        text,
  -- What a call goes on with: {method, target, targetKind}.
  resumes             jsonb,
  -- First 16 hex digits of the name of the session, whose id is itself a secret.
  session_hash        text,
  rpc_id              text,
  trace               text,
  arguments_hash      bytea,
  result_hash         bytea,
  -- Commitments to what audit_captured and audit_content hold.
  captured            bytea,
  content             bytea,
  -- Of content: request or response.
  part                text,

  status              integer,
  decision            text,
  rule                text,
  policy_version      bigint,
  shadow_decision     text,
  shadow_rule         text,
  limit_policy        text,
  limit_left          bigint,
  fault               text,
  is_error            boolean,
  duration_ms         double precision,
  -- Streamed events.
  events              bigint,
  -- Which server an attempt acted on, where `server` of its intent is '*', which stands for all.
  upstream            text,
  credential          text,
  definition          text,
  previous_definition text,

  a2a_version         text,
  a2a_binding         text,
  task                text,
  context             text,
  push_config         text,
  message_kind        text,
  task_state          text,
  event_kind          text,
  event_number        bigint,

  operator            text,
  action              text,
  subject             text,
  result              text check (result in ('begun', 'done', 'failed', 'refused', 'noted')),
  -- How many one event stands for, and when the last of them was.
  count               integer,
  until               timestamptz,
  -- Of an emitter: started or stopped with its service and version of Sluice; or that it repeated what is stored under another number.
  service             text,
  word                text,
  version             text,

  unique (log, leaf_index),
  check (kind <> 'intent' or num_nulls(call, tenant, agent_id, auth, label, protocol, era, http, path, method, server, trace) = 0),
  check (kind <> 'outcome' or num_nulls(call, status, decision, duration_ms) = 0),
  check (kind <> 'action' or num_nulls(call, action, result) = 0),
  check (kind <> 'stream' or num_nulls(call, tenant, server, event_kind, event_number) = 0),
  check (kind <> 'refusals' or num_nulls(status, fault, count, until) = 0),
  check (kind <> 'content' or num_nulls(call, part, content) = 0),
  check (kind <> 'emitter' or word is not null and (word = 'repeated' or service is not null))
);

create index audit_events_call on audit_events (call);
create index audit_events_log_at on audit_events (log, at, event_id);
create index audit_events_agent_at on audit_events (agent_id, at) where kind = 'intent';
create index audit_events_emitter on audit_events (emitter, seq);
create index audit_events_task on audit_events (task, at) where task is not null;
create index audit_events_shadow on audit_events (at) where shadow_rule is not null;
-- Rows come in this order, so that a few bytes per megabyte of table are enough to follow what is new.
create index audit_events_stored_at on audit_events using brin (stored_at);

-- Values of captureFields, and what was said where a tenant has it kept; each with the salt of the event's commitment.
create table audit_captured (
  event_id text primary key,
  salt     bytea not null check (octet_length(salt) = 32),
  fields   jsonb not null
);
create table audit_content (
  event_id text primary key,
  salt     bytea not null check (octet_length(salt) = 32),
  data     bytea not null
);

-- 256 hashes of one level of a log's tree, in their order; only whole ones. Level 0 is the leaves, level n their subtrees of 256^n.
create table audit_tiles (
  log        text not null,
  level      smallint not null,
  tile_index bigint not null,
  hashes     bytea not null check (octet_length(hashes) = 8192),
  primary key (log, level, tile_index)
);

-- The tree as it was after each transaction that stored events.
create table audit_heads (
  log  text not null,
  size bigint not null,
  root bytea not null check (octet_length(root) = 32),
  at   timestamptz not null,
  primary key (log, size)
);

-- What the signer has signed and published (c2sp.org/tlog-checkpoint).
create table audit_checkpoints (
  log  text not null,
  size bigint not null,
  root bytea not null,
  at   timestamptz not null,
  note text not null,
  primary key (log, size)
);

-- How far each destination has got, by log. No part of the trail.
create table audit_cursors (
  destination text not null,
  log         text not null,
  next_index  bigint not null,
  primary key (destination, log)
);

-- A guard against accidents; what counts are the privileges below, and the tree.
create function audit_refuse() returns trigger language plpgsql as $$
begin
  if tg_op = 'DELETE' and pg_has_role(current_user, 'audit_keeper', 'member') then
    return null;
  end if;
  raise exception '% is append-only: % is refused', tg_table_name, tg_op;
end
$$;
create trigger audit_append_only before update or delete or truncate on audit_events
  for each statement execute function audit_refuse();
create trigger audit_append_only before update or delete or truncate on audit_tiles
  for each statement execute function audit_refuse();
create trigger audit_append_only before update or delete or truncate on audit_heads
  for each statement execute function audit_refuse();
create trigger audit_append_only before update or delete or truncate on audit_checkpoints
  for each statement execute function audit_refuse();

-- What a personal column says; of who was forgotten only that it is always the same one.
create function audit_said(commitment bytea, value text) returns text language sql immutable as $$
  select case when commitment is null then null else coalesce(value, 'erased-' || left(encode(commitment, 'hex'), 12)) end
$$;

-- One row per attempt.
create view audit_calls as
select
  intent.call,
  intent.at,
  intent.log,
  intent.leaf_index,
  intent.tenant,
  audit_said(intent.agent_id, agent.value) as agent_id,
  audit_said(intent.agent_name, name.value) as agent_name,
  audit_said(intent.agent_owner, owner.value) as agent_owner,
  intent.auth,
  intent.auth_issuer,
  audit_said(intent.auth_user, person.value) as auth_user,
  intent.scopes,
  intent.label,
  intent.protocol,
  intent.era,
  -- Of a call in a legacy session it comes with the outcome.
  coalesce(outcome.client_name, intent.client_name) as client_name,
  case when outcome.client_name is null then intent.client_version else outcome.client_version end as client_version,
  intent.http,
  intent.path,
  intent.method,
  intent.target,
  intent.target_kind,
  intent.server,
  intent.named_server,
  intent.session_hash,
  intent.rpc_id,
  intent.trace,
  intent.bytes as request_bytes,
  intent.resumes,
  coalesce(intent.arguments_hash, outcome.arguments_hash) as arguments_hash,
  outcome.result_hash,
  coalesce(asked.fields, '{}') || coalesce(answered.fields, '{}') as captured,
  case
    when outcome.event_id is not null then 'done'
    when lost.event_id is not null then 'outcome unknown'
    else 'under way'
  end as state,
  outcome.at as finished_at,
  outcome.status,
  outcome.decision,
  outcome.rule,
  outcome.policy_version,
  outcome.limit_policy,
  outcome.limit_left,
  outcome.fault,
  outcome.is_error,
  outcome.duration_ms,
  outcome.bytes as response_bytes,
  outcome.events,
  -- The server that an attempt concerns, where that is one.
  coalesce(outcome.upstream, nullif(intent.server, '*')) as upstream,
  outcome.credential,
  -- SHA-256 of the definition of the tool that was called, where its server's definitions are pinned.
  outcome.definition,
  -- Of a call by A2A: how the client speaks, what the call names or its answer is about, and the names of seed 001.
  intent.a2a_version,
  intent.a2a_binding,
  coalesce(intent.task, outcome.task) as task,
  intent.context,
  intent.push_config,
  intent.message_kind as "messageKind",
  outcome.task_state as "taskState",
  intent.emitter,
  outcome.emitter as outcome_emitter,
  intent.stored_at,
  outcome.stored_at as outcome_stored_at
from audit_events as intent
left join audit_events as outcome on outcome.event_id = intent.call || '.o'
left join audit_events as lost on lost.event_id = intent.call || '.u'
left join audit_subjects as agent on agent.commitment = intent.agent_id
left join audit_subjects as name on name.commitment = intent.agent_name
left join audit_subjects as owner on owner.commitment = intent.agent_owner
left join audit_subjects as person on person.commitment = intent.auth_user
left join audit_captured as asked on asked.event_id = intent.event_id
left join audit_captured as answered on answered.event_id = outcome.event_id
where intent.kind = 'intent';

-- One row per attempt that rules in shadow mode would have decided otherwise.
create view audit_shadow_decisions as
select
  intent.call,
  intent.at,
  intent.tenant,
  audit_said(intent.agent_id, agent.value) as agent_id,
  intent.method,
  intent.target,
  intent.server,
  outcome.decision,
  outcome.rule,
  outcome.shadow_decision,
  outcome.shadow_rule
from audit_events as outcome
join audit_events as intent on intent.event_id = outcome.call || '.i'
left join audit_subjects as agent on agent.commitment = intent.agent_id
where outcome.kind = 'outcome' and outcome.shadow_rule is not null;

-- One row per deed of an operator, per summary of refused ones, or per thing found out.
create view audit_actions as
select
  first.call as action_id,
  first.at,
  first.log,
  first.leaf_index,
  first.operator,
  first.action,
  first.tenant,
  first.subject,
  case when first.result = 'begun' then coalesce(last.result, 'outcome unknown') else first.result end as result,
  coalesce(last.fault, first.fault) as fault,
  -- What came of it, such as the key that was made.
  case when last.subject is distinct from first.subject then last.subject end as made,
  coalesce(first.count, 1) as count,
  last.at as finished_at,
  first.emitter,
  first.stored_at,
  first.server,
  first.target,
  first.definition,
  first.previous_definition
from audit_events as first
left join audit_events as last on first.result = 'begun' and last.event_id = first.call || '.e'
where first.kind = 'action' and first.result in ('begun', 'refused', 'noted');

-- One row per event of a task's stream; `call` is the one that the subscription was opened for.
create view audit_stream_events as
select call, event_number as number, at, tenant, server, task, event_kind as kind, task_state as "taskState", bytes, emitter, stored_at
from audit_events
where kind = 'stream';

-- One row per group of requests that were refused before anybody was known.
create view audit_refusals as
select
  refusals.at,
  refusals.until,
  refusals.log,
  refusals.leaf_index,
  refusals.tenant,
  refusals.protocol,
  refusals.status,
  refusals.fault,
  audit_said(refusals.peer, peer.value) as peer,
  refusals.count,
  refusals.emitter,
  refusals.stored_at
from audit_events as refusals
left join audit_subjects as peer on peer.commitment = refusals.peer
where refusals.kind = 'refusals';

grant select, insert on
  audit_events, audit_subjects, audit_captured, audit_tiles, audit_heads to audit_writer;
grant select on audit_checkpoints to audit_writer;
grant insert on audit_content to audit_writer;
grant select, insert, update on audit_cursors to audit_writer;

grant select (log, leaf_index, leaf_hash) on audit_events to audit_signer;
grant select on audit_tiles, audit_heads to audit_signer;
grant select, insert on audit_checkpoints to audit_signer;

grant select on
  audit_events, audit_subjects, audit_captured, audit_tiles, audit_heads, audit_checkpoints, audit_cursors,
  audit_calls, audit_shadow_decisions, audit_actions, audit_stream_events, audit_refusals
  to audit_reader, audit_keeper;
grant select on audit_content to audit_content_reader, audit_keeper;
-- What retention removes, and what a person is forgotten by.
grant delete on audit_events, audit_subjects, audit_captured, audit_content to audit_keeper;

-- Services look there whether the schema is theirs; it is made by who applies the migrations.
do $$
begin
  if to_regclass('audit_trail_migrations') is not null then
    grant select on audit_trail_migrations to audit_writer, audit_signer, audit_reader, audit_keeper;
  end if;
end
$$;
