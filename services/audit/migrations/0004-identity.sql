-- Who vouched for the agent, and on whose behalf it acted, where its token says so.
alter table audit_events add column auth_issuer text, add column auth_user text;

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
  intent.auth_user
from audit_events as intent
left join audit_events as outcome on outcome.event_id = intent.call || '.o'
where intent.kind = 'intent';
