-- What reading the trail by time, trace, session, person or trouble takes, over all logs and in each.
create index audit_events_kind_at on audit_events (kind, at, event_id) where kind <> 'outcome';
create index audit_events_trace on audit_events (trace) where kind = 'intent';
create index audit_events_session on audit_events (session_hash, at) where session_hash is not null;
create index audit_events_user_at on audit_events (auth_user, at) where kind = 'intent' and auth_user is not null;
create index audit_events_fault on audit_events (fault, at) where kind = 'outcome' and fault is not null;
create index audit_events_status on audit_events (status, at) where kind = 'outcome' and status >= 400;

-- The audit service reads for operators with the login that it writes with, unless it has one of its own for it.
grant select on audit_calls, audit_shadow_decisions, audit_actions, audit_stream_events, audit_refusals to audit_writer;
