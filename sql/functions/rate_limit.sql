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

-- rate_room(rule): how many more of a rule's messages may become ready; empty: the rule has no limit. An estimate without
-- a lock, so that what is over its limit does not even enter the claim's index; the claim itself counts exactly. None while others of
-- the rule wait for room: they come first.
create or replace function sicantik_notify.rate_room(p_rule bigint)
returns bigint
language sql
stable
set search_path = pg_catalog, pg_temp
as $rate_room$
    select case when (select true from sicantik_notify.queue q
                      where q.rule_id = r.id and q.state = 'pending' and q.waiting_for = 'rate_limit'
                      order by q.urgent desc, q.priority desc, q.scheduled_at, q.id limit 1) then 0
                else greatest(0, r.rate_limit_count - coalesce(s.used, 0)
                    + (select count(*) from sicantik_notify.rate_usage u
                       where u.rule_id = r.id and u.ended_at <= (select sicantik_notify.clock()) - sicantik_notify.rate_period(r.rate_limit_period))
                    - (select count(*)
                       from (select from sicantik_notify.queue q where q.rule_id = r.id and q.state = 'pending' and q.ready
                             order by q.scheduled_at limit r.rate_limit_count) x))
           end
    from sicantik_notify.rule r
    left join sicantik_notify.rate_state s on s.rule_id = r.id
    where r.id = p_rule and r.rate_limit_enabled
$rate_room$;
comment on function sicantik_notify.rate_room(bigint) is 'How many more messages of a rule may become ready now; empty: no limit';
