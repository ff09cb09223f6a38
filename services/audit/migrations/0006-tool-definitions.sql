-- Definitions of tools: of the tool that a call acted on, and in what is noted of them.
alter table audit_events
  add column definition          text,
  -- The one approved before.
  add column previous_definition text;
alter table audit_events drop constraint audit_events_result_check;
alter table audit_events add constraint audit_events_result_check
  check (result in ('begun', 'done', 'failed', 'refused', 'noted')) not valid;

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
  outcome.definition
from audit_events as intent
left join audit_events as outcome on outcome.event_id = intent.call || '.o'
where intent.kind = 'intent';

-- One row per deed of an operator, per summary of refused ones, or per thing found out.
create or replace view audit_actions as
select
  first.call as action_id,
  first.at,
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
  first.reported_by,
  first.stored_at,
  first.server,
  first.target,
  first.definition,
  first.previous_definition
from audit_events as first
left join audit_events as last on first.result = 'begun' and last.event_id = first.call || '.e'
where first.kind = 'action' and first.result in ('begun', 'refused', 'noted');
