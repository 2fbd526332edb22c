-- Gives room to what waits for its rule's rate limit, in the order of the claim, and forgets places whose period is over. A message is
-- written once when it falls behind the limit and once when it gets its place, however many wait. What stands ready already
-- counts as if it were reserved. Locks as the claim does: rate_state first, in order, then messages, skipping locked ones.
-- Index: queue_rate_idx. $1 how many of each rule
with concerned as materialized (
    select s.rule_id
    from sicantik_notify.rate_state s
    join sicantik_notify.rule r on r.id = s.rule_id
    where sicantik_notify.rate_waits(s.rule_id)
       or (select true from sicantik_notify.rate_usage u
           where u.rule_id = s.rule_id
             and u.ended_at <= (select sicantik_notify.clock()) - sicantik_notify.rate_period(r.rate_limit_period)
           order by u.ended_at
           limit 1)
), counting as materialized (
    select s.rule_id, s.used, s.reserved_at
    from sicantik_notify.rate_state s
    where s.rule_id = any (array(select c.rule_id from concerned c))
    order by s.rule_id
    for no key update
), clocked as materialized (
    select c.rule_id, c.used, greatest(sicantik_notify.clock(), c.reserved_at) as now,
           sicantik_notify.rate_period(r.rate_limit_period) as period, r.active,
           case when r.rate_limit_enabled then r.rate_limit_count end as most,
           sicantik_notify.window_opens(r.send_window, t.timezone, n.now) > n.now as closed
    from counting c
    join sicantik_notify.rule r on r.id = c.rule_id
    left join sicantik_notify.trigger t on t.code = r.trigger
    cross join lateral (select sicantik_notify.clock() as now) n
), expired as (
    delete from sicantik_notify.rate_usage u
    using clocked c
    where u.rule_id = c.rule_id and u.ended_at <= c.now - c.period
    returning u.rule_id
), room as materialized (
    select c.rule_id, c.closed, c.active, c.used - e.n as used, e.n as freed,
           case when c.most is null then $1::bigint
                else greatest(0, c.most - c.used + e.n
                     - sicantik_notify.rate_ready(c.rule_id, c.most))
           end as room
    from clocked c
    cross join lateral (select count(*) as n from expired e where e.rule_id = c.rule_id) e
), counted as (
    update sicantik_notify.rate_state s set used = o.used from room o where s.rule_id = o.rule_id and o.freed > 0
), admitted as materialized (
    -- In quiet hours only what is to be processed now: it comes first in the index.
    select w.id
    from room o
    cross join lateral sicantik_notify.rate_next(o.rule_id, o.closed, least(o.room, $1::bigint)) as w (id)
    where o.active
)
update sicantik_notify.queue q
set ready = true, waiting_for = null
-- By id alone: they are locked, and a further condition may tempt the planner into reading all that waits.
where q.id = any (array(select a.id from admitted a))
