-- rate_period(name): minute, hour or day as an interval.
create or replace function sicantik_notify.rate_period(p_period text)
returns interval
language sql
immutable
set search_path = pg_catalog, pg_temp
as $rate_period$
    select case p_period when 'minute' then interval '1 minute' when 'hour' then interval '1 hour' else interval '24 hours' end
$rate_period$;
comment on function sicantik_notify.rate_period(text) is 'The period of a rate limit';

-- These read indexes and nothing else, whatever the statistics say: asked every second, while hundreds of thousands may
-- wait. In plpgsql, whose plans a session keeps: functions in SQL are planned at each call, which takes longer than the look.
-- rate_waits(rule): does a message wait for the rule's limit?
create or replace function sicantik_notify.rate_waits(p_rule bigint)
returns boolean
language plpgsql
stable
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set enable_bitmapscan = off
as $rate_waits$
begin
    return exists (select from sicantik_notify.queue q
                   where q.rule_id = p_rule and q.state = 'pending' and q.waiting_for = 'rate_limit' limit 1);
end
$rate_waits$;
comment on function sicantik_notify.rate_waits(bigint) is 'Whether a message waits for its rule''s rate limit';

-- rate_ready(rule, most): how many of the rule's messages stand ready and need a place; counted up to `most`.
create or replace function sicantik_notify.rate_ready(p_rule bigint, p_most integer)
returns bigint
language plpgsql
stable
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set enable_bitmapscan = off
set enable_sort = off
as $rate_ready$
begin
    return (select count(*)
            from (select from sicantik_notify.queue q where q.rule_id = p_rule and q.state = 'pending' and q.ready and not q.fallback
                  order by q.scheduled_at limit p_most) x);
end
$rate_ready$;
comment on function sicantik_notify.rate_ready(bigint, integer) is 'How many of a rule''s messages stand ready';

-- rate_next(rule, only urgent, how many): the next messages that get room, locked; those that another session holds are passed by.
create or replace function sicantik_notify.rate_next(p_rule bigint, p_urgent boolean, p_many bigint)
returns setof bigint
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set enable_bitmapscan = off
set enable_sort = off
as $rate_next$
begin
    return query
    select q.id
    from sicantik_notify.queue q
    where q.rule_id = p_rule and q.state = 'pending' and q.waiting_for = 'rate_limit' and q.urgent >= p_urgent
    order by q.urgent desc, q.priority desc, q.scheduled_at, q.id
    limit p_many
    for update of q skip locked;
end
$rate_next$;
comment on function sicantik_notify.rate_next(bigint, boolean, bigint) is 'The next messages that get room within a rule''s limit, locked';

-- rate_room(rule): how many more of a rule's messages may become ready; empty: the rule has no limit. An estimate without
-- a lock, so that what is over its limit does not even enter the claim's index; the claim itself counts exactly. None while others of
-- the rule wait for room: they come first.
create or replace function sicantik_notify.rate_room(p_rule bigint)
returns bigint
language plpgsql
stable
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set enable_bitmapscan = off
as $rate_room$
begin
    return (
    select case when sicantik_notify.rate_waits(r.id) then 0
                else greatest(0, r.rate_limit_count - coalesce(s.used, 0)
                    + (select count(*) from sicantik_notify.rate_usage u
                       where u.rule_id = r.id and u.ended_at <= (select sicantik_notify.clock()) - sicantik_notify.rate_period(r.rate_limit_period))
                    - sicantik_notify.rate_ready(r.id, r.rate_limit_count))
           end
    from sicantik_notify.rule r
    left join sicantik_notify.rate_state s on s.rule_id = r.id
    where r.id = p_rule and r.rate_limit_enabled);
end
$rate_room$;
comment on function sicantik_notify.rate_room(bigint) is 'How many more messages of a rule may become ready now; empty: no limit';
