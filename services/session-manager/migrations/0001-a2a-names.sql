-- Whose the tasks and contexts of A2A agents are: one row per name that an agent gave or took. Never content.
create table a2a_names (
  tenant       text not null,
  server       text not null,
  kind         text not null check (kind in ('task', 'context')),
  -- What the agent calls it: it is one caller's.
  upstream     text not null,
  -- Of the caller.
  identity     text not null,
  -- What the caller calls it; NULL where it calls another so already.
  client       text,
  -- Of a task: the agent's name of its context, its state, and since when, in Unix milliseconds.
  context      text,
  state        text,
  state_at     bigint not null,
  -- Of a task: the replica of egress that has the subscription to it, and the stream that it fills.
  watch_egress text,
  watch_stream text,
  touched_at   timestamptz not null default now(),
  primary key (tenant, server, kind, upstream)
);
create unique index a2a_names_client on a2a_names (tenant, server, identity, kind, client);
create index a2a_names_listed on a2a_names (tenant, server, identity, state_at desc, upstream desc) where kind = 'task';
create index a2a_names_touched on a2a_names (touched_at);

-- What made-up names are derived with, so that every replica makes up the same ones, and nobody else can.
create table a2a_salt (salt text not null default gen_random_uuid()::text || gen_random_uuid()::text);
insert into a2a_salt default values;

-- What a caller's name can be: as it says, or the agent's, or none, where it calls something else so already.
create function a2a_client(item jsonb, of_kind text) returns text language plpgsql stable as $$
declare
  wanted text;
begin
  foreach wanted in array array[item #>> array[of_kind, 'client'], item #>> array[of_kind, 'upstream']] loop
    if not exists (
      select from a2a_names
      where (tenant, server, identity, kind, client)
        = (item ->> 'tenant', item ->> 'server', item ->> 'identity', of_kind, wanted)
    ) then
      return wanted;
    end if;
  end loop;
  return null;
end
$$;

create function a2a_is_ended(state text) returns boolean language sql immutable as $$
  select coalesce(state in ('TASK_STATE_COMPLETED', 'TASK_STATE_FAILED', 'TASK_STATE_CANCELED', 'TASK_STATE_REJECTED'), false)
$$;

-- States never go back in time; of two at once the one that ends the task counts.
create function a2a_is_news(kept a2a_names, told a2a_names) returns boolean language sql immutable as $$
  select told.state is not null and told.state is distinct from kept.state and (
    kept.state is null or told.state_at > kept.state_at or told.state_at = kept.state_at and not a2a_is_ended(kept.state)
  )
$$;

-- Keeps whose a task and a context are, the first one's. Of each what is kept then; null where one of them is another
-- caller's, and then nothing is changed.
-- Plans are kept from when the table was small, for as long as a connection.
create function a2a_register(items jsonb) returns jsonb language plpgsql set enable_seqscan = off as $$
declare
  item         jsonb;
  kept_task    a2a_names;
  kept_context a2a_names;
  results      jsonb := '[]';
begin
  -- One at a time, so that "first" means something; what arrives together comes in one call.
  perform pg_advisory_xact_lock(7583223);
  for item in select value from jsonb_array_elements(items) loop
    if exists (
      select from a2a_names
      where (tenant, server, kind, upstream) = (item ->> 'tenant', item ->> 'server', 'task', item #>> '{task,upstream}')
        and identity <> item ->> 'identity'
    ) or exists (
      select from a2a_names
      where (tenant, server, kind, upstream) = (item ->> 'tenant', item ->> 'server', 'context', item #>> '{context,upstream}')
        and identity <> item ->> 'identity'
    ) then
      results := results || jsonb_build_array(null);
      continue;
    end if;
    kept_task := null;
    kept_context := null;
    if item ? 'context' then
      insert into a2a_names (tenant, server, kind, upstream, identity, client, state_at)
      values (item ->> 'tenant', item ->> 'server', 'context', item #>> '{context,upstream}', item ->> 'identity',
        a2a_client(item, 'context'), (item ->> 'stateAt')::bigint)
      on conflict (tenant, server, kind, upstream) do update set touched_at = now()
      returning * into kept_context;
    end if;
    if item ? 'task' then
      insert into a2a_names as kept (tenant, server, kind, upstream, identity, client, context, state, state_at,
        watch_egress, watch_stream)
      values (item ->> 'tenant', item ->> 'server', 'task', item #>> '{task,upstream}', item ->> 'identity',
        a2a_client(item, 'task'), item #>> '{context,upstream}', item ->> 'state', (item ->> 'stateAt')::bigint,
        item #>> '{watch,egress}', item #>> '{watch,stream}')
      on conflict (tenant, server, kind, upstream) do update set
        touched_at = now(),
        context = coalesce(kept.context, excluded.context),
        state = case when a2a_is_news(kept, excluded) then excluded.state else kept.state end,
        state_at = case when a2a_is_news(kept, excluded) then excluded.state_at else kept.state_at end,
        watch_egress = case when kept.watch_stream is null then excluded.watch_egress else kept.watch_egress end,
        watch_stream = coalesce(kept.watch_stream, excluded.watch_stream)
      returning * into kept_task;
    end if;
    results := results || jsonb_build_array(jsonb_build_object(
      'task', case when item ? 'task' then to_jsonb(kept_task) end,
      'context', case when item ? 'context' then to_jsonb(kept_context) end,
      'contextClient', (
        select client from a2a_names
        where (tenant, server, kind, upstream, identity)
          = (kept_task.tenant, kept_task.server, 'context', kept_task.context, kept_task.identity)
      )
    ));
  end loop;
  return results;
end
$$;
