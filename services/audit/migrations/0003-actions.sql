-- What operators do through the admin API: 'begun' before a change is made, then 'done' or 'failed'; 'refused' may stand for several.
alter table audit_events
  add column operator text,
  add column action   text,
  add column subject  text,
  add column result   text check (result in ('begun', 'done', 'failed', 'refused')),
  -- How many refused calls one event stands for.
  add column count    integer;
alter table audit_events drop constraint audit_events_kind_check;
alter table audit_events add constraint audit_events_kind_check check (kind in ('intent', 'outcome', 'action')) not valid;
alter table audit_events add constraint audit_events_action_check
  check (kind <> 'action' or num_nulls(action, result) = 0) not valid;

create index audit_events_action_at on audit_events (at) where kind = 'action';

-- One row per deed of an operator, or per summary of refused ones.
create view audit_actions as
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
  first.stored_at
from audit_events as first
left join audit_events as last on first.result = 'begun' and last.event_id = first.call || '.e'
where first.kind = 'action' and first.result in ('begun', 'refused');
