-- Calls by A2A, and what their streams bring: 'stream' is one event of the subscription to a task, however many clients read it.
alter table audit_events
  add column a2a_version  text,
  add column a2a_binding  text,
  add column task         text,
  add column context      text,
  add column push_config  text,
  -- Of the first part of the message: text, file or data.
  add column message_kind text,
  -- As A2A 1.0 writes it.
  add column task_state   text,
  -- Of a streamed event: task, message, statusUpdate, artifactUpdate or error; and its number in the stream.
  add column event_kind   text,
  add column event_number bigint;
alter table audit_events drop constraint audit_events_kind_check;
alter table audit_events add constraint audit_events_kind_check
  check (kind in ('intent', 'outcome', 'action', 'stream')) not valid;
alter table audit_events add constraint audit_events_stream_check
  check (kind <> 'stream' or num_nulls(tenant, server, event_kind, event_number) = 0) not valid;

create index audit_events_task on audit_events (task, at) where task is not null;

-- One row per attempt.
create or replace view audit_calls as
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
  outcome.stored_at as outcome_stored_at,
  -- The server that an attempt concerns, where that is one.
  coalesce(outcome.upstream, nullif(intent.server, '*')) as upstream,
  intent.auth_issuer,
  intent.auth_user,
  -- SHA-256 of the definition of the tool that was called, where its server's definitions are pinned.
  outcome.definition,
  -- Of a call by A2A: how the client speaks, what the call names or its answer is about, and the names of seed 001.
  intent.a2a_version,
  intent.a2a_binding,
  coalesce(intent.task, outcome.task) as task,
  intent.context,
  intent.push_config,
  intent.message_kind as "messageKind",
  outcome.task_state as "taskState"
from audit_events as intent
left join audit_events as outcome on outcome.event_id = intent.call || '.o'
where intent.kind = 'intent';

-- One row per event of a task's stream; `call` is the one that the subscription was opened for.
create view audit_stream_events as
select
  call,
  event_number as number,
  at,
  tenant,
  server,
  task,
  event_kind as kind,
  task_state as "taskState",
  bytes,
  reported_by,
  stored_at
from audit_events
where kind = 'stream';
