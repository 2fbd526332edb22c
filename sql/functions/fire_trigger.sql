-- near_codes(code): codes of triggers that look like this one, the nearest first, for people who mistyped.
create or replace function sicantik_notify.near_codes(p_code text)
returns text
language sql
stable
set search_path = pg_catalog, pg_temp
as $near_codes$
    select string_agg(n.code, ', ' order by n.likeness desc, n.code)
    from (
        select t.code, (
                   select count(*)::float8 / (length(t.code) + length(p_code))
                   from (select substr(lower(t.code), g, 3) from generate_series(1, length(t.code) - 2) g
                         intersect
                         select substr(lower(p_code), g, 3) from generate_series(1, length(p_code) - 2) g) common
               ) as likeness
        from sicantik_notify.trigger t
        where length(p_code) <= 200
        order by 2 desc, 1
        limit 3
    ) n
    where n.likeness > 0
$near_codes$;
comment on function sicantik_notify.near_codes(text) is 'Codes of triggers that look like this one';

-- firing_target(code, model): the trigger that a person or a programme may ask to look at records, or an error that says why not:
-- P0002 no such trigger, 55000 inactive, 42809 not of a type that is fired, 22023 a trigger of another model. An empty model is the
-- trigger's own.
create or replace function sicantik_notify.firing_target(p_code text, p_model text)
returns sicantik_notify.trigger
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
as $firing_target$
declare
    target sicantik_notify.trigger;
begin
    select t.* into target from sicantik_notify.trigger t where t.code = p_code;
    if not found then
        raise exception 'there is no trigger %', coalesce(quote_literal(p_code), 'without a code')
            using errcode = 'P0002',
                  hint = coalesce('did you mean ' || sicantik_notify.near_codes(p_code) || '? ', '') || 'v_trigger lists all of them';
    end if;
    if target.trigger_type not in ('manual', 'api', 'cron') then
        raise exception 'the trigger % is of type %: it fires on changes of records, not by hand', target.code, target.trigger_type
            using errcode = '42809',
                  hint = 'for changes that were missed run sicantik-notifyd backfill --trigger ' || target.code
                         || '; to tell people by hand, give the rule a trigger of type manual';
    end if;
    -- Its rule answers those who wrote STOP, and passes the blacklist.
    if target.code = 'system_inbound' then
        raise exception 'the trigger % is the daemon''s own', target.code
            using errcode = '42809', hint = 'make a trigger of type manual for what you want to tell';
    end if;
    if not target.active then
        raise exception 'the trigger % is inactive', target.code
            using errcode = '55000',
                  hint = format('update sicantik_notify.trigger set active = true where code = %L', target.code);
    end if;
    if nullif(p_model, '') is distinct from target.model and nullif(p_model, '') is not null then
        raise exception 'the trigger % is about %, not about %', target.code, target.model, p_model
            using errcode = '22023', hint = 'leave the model empty, or name the trigger''s';
    end if;
    return target;
end
$firing_target$;
comment on function sicantik_notify.firing_target(text, text) is 'The trigger that may be fired, or an error that says why not';

-- fire_trigger(code, model, ids, kwargs): asks a trigger to look at records (SICANTIK guide §3.4, types manual and api; a cron trigger may be
-- asked out of its turn). An event a record, which goes the way of every event; what kwargs holds is what the rules' code sees
-- as kwargs. Returns how many. A record that does not exist gets a decision that says so. In a copy, or where nobody may send, the messages
-- wait in the queue like all others.
create or replace function sicantik_notify.fire_trigger(p_code text, p_model text, p_ids bigint[], p_kwargs jsonb default '{}')
returns bigint
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $fire_trigger$
declare
    target constant sicantik_notify.trigger := sicantik_notify.firing_target(p_code, p_model);
    given  constant jsonb := coalesce(p_kwargs, '{}');
    fired  bigint;
begin
    if jsonb_typeof(given) <> 'object' then
        raise exception 'kwargs must be a JSON object, and is a JSON %', jsonb_typeof(given)
            using errcode = '22023', hint = 'such as ''{"reason": "test"}''';
    end if;
    insert into sicantik_notify.event (op, record_id, model, target_trigger, kwargs)
    select 'F', i.id, target.model, target.id, nullif(given, '{}')
    from (select distinct u.id from unnest(p_ids) u (id) where u.id is not null) i
    order by i.id;
    get diagnostics fired = row_count;
    if fired = 0 then
        raise exception 'no record was named' using errcode = '22023', hint = 'ids is empty: pass for example array[1, 2]';
    end if;
    insert into sicantik_notify.firing as f (trigger_id, source, fired_by, events, kwargs)
    values (target.id, 'manual', sicantik_notify.asker(), fired, nullif(given, '{}'))
    on conflict (xact, trigger_id) do update
    set events = f.events + excluded.events, kwargs = coalesce(excluded.kwargs, f.kwargs);
    perform pg_notify('sicantik_notify_event', '');
    return fired;
end
$fire_trigger$;
comment on function sicantik_notify.fire_trigger(text, text, bigint[], jsonb) is
    'Asks a trigger of type manual, api or cron to look at records; how many events that makes';

-- fire_records(model, trigger, rule, source, ids, kwargs, own kwargs): what the command line writes for a person, who must not write events
-- himself: an event a record, of one rule perhaps, with what belongs to each record on top of the kwargs of all. source cli: the trigger
-- must be one that is fired; backfill: one that watches changes. Notes who asked.
create or replace function sicantik_notify.fire_records(
    p_model text, p_trigger bigint, p_rule bigint, p_source text, p_ids bigint[], p_kwargs jsonb, p_own jsonb[],
    out events bigint, out first_event bigint, out last_event bigint, out run text)
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $fire_records$
declare
    target sicantik_notify.trigger;
    given  constant jsonb := coalesce(p_kwargs, '{}');
begin
    select t.* into target from sicantik_notify.trigger t where t.id = p_trigger;
    case p_source
        when 'cli' then
            target := sicantik_notify.firing_target(target.code, p_model);
        when 'backfill' then
            if target.id is null or not target.active or not starts_with(target.trigger_type, 'on_') or target.model is distinct from p_model then
                raise exception 'the trigger % watches no changes of % now, so none was missed', coalesce(target.code, p_trigger::text), p_model
                    using errcode = '55000', hint = 'see sicantik_notify.v_trigger';
            end if;
        else
            raise exception 'there is no source %', quote_nullable(p_source) using errcode = '22023', hint = 'cli or backfill';
    end case;
    if p_rule is not null and not exists (select from sicantik_notify.rule r where r.id = p_rule and r.trigger = target.code) then
        raise exception 'rule % is none of the trigger %', p_rule, target.code using errcode = '22023', hint = 'see sicantik_notify.v_rule';
    end if;
    if jsonb_typeof(given) <> 'object' then
        raise exception 'kwargs must be a JSON object, and is a JSON %', jsonb_typeof(given)
            using errcode = '22023', hint = 'such as ''{"reason": "test"}''';
    end if;
    with written as (
        insert into sicantik_notify.event (op, record_id, model, target_trigger, target_rule, kwargs)
        select 'F', i.id, target.model, target.id, p_rule, nullif(given || coalesce(i.own, '{}'), '{}')
        from (select distinct on (u.id) u.id, u.own from unnest(p_ids, p_own) u (id, own) where u.id is not null order by u.id) i
        order by i.id
        returning id
    )
    select count(*), min(w.id), max(w.id) into events, first_event, last_event from written w;
    run := pg_current_xact_id()::text;
    if events > 0 or p_source = 'cli' then
        insert into sicantik_notify.firing as f (trigger_id, source, fired_by, events, kwargs)
        values (target.id, p_source, sicantik_notify.asker(), fire_records.events, nullif(given, '{}'))
        on conflict (xact, trigger_id) do update
        set events = f.events + excluded.events;
    end if;
    perform pg_notify('sicantik_notify_event', '');
end
$fire_records$;
comment on function sicantik_notify.fire_records(text, bigint, bigint, text, bigint[], jsonb, jsonb[]) is
    'Writes the events of a firing or backfill on the command line, and who asked';

-- firing_forget(): drops firings that are older than log_retention_days, and requests whose key has been forgotten. Returns how many rows.
create or replace function sicantik_notify.firing_forget()
returns bigint
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $firing_forget$
declare
    days    constant text := (select s.value from sicantik_notify.setting s where s.key = 'log_retention_days');
    dropped bigint := 0;
    n       bigint;
begin
    delete from sicantik_notify.api_request r where r.requested_at < sicantik_notify.clock() - interval '24 hours';
    get diagnostics n = row_count;
    dropped := n;
    -- Not a number, or none: nothing is thrown away.
    if days ~ '^[1-9][0-9]{0,4}$' then
        delete from sicantik_notify.firing f where f.fired_at < sicantik_notify.clock() - make_interval(days => days::integer);
        get diagnostics n = row_count;
        dropped := dropped + n;
    end if;
    return dropped;
end
$firing_forget$;
comment on function sicantik_notify.firing_forget() is 'Drops firings and answered requests that are older than their retention';
