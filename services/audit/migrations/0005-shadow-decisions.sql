-- What would have been decided, had the access rules in shadow mode counted; told with the outcome, where it differs.
alter table audit_events
  add column shadow_decision text,
  add column shadow_rule     text;

create index audit_events_shadow on audit_events (at) where shadow_rule is not null;

-- One row per attempt that rules in shadow mode would have decided otherwise.
create view audit_shadow_decisions as
select
  intent.call,
  intent.at,
  intent.tenant,
  intent.agent_id,
  intent.method,
  intent.target,
  intent.server,
  outcome.decision,
  outcome.rule,
  outcome.shadow_decision,
  outcome.shadow_rule
from audit_events as outcome
join audit_events as intent on intent.event_id = outcome.call || '.i'
where outcome.kind = 'outcome' and outcome.shadow_rule is not null;
