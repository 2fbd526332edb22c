-- Makes due what has become due; parks it instead where its rule is inactive, its campaign is paused, or its rule has its quiet hours, or has no room within
-- its rate limit. Index: queue_not_due_idx. The clock in a subquery, since an index cannot be searched with a volatile function;
-- id = any (array), which keeps to the primary key whatever the statistics say.
-- $1 how many
with due as materialized (
    select w.id, w.rule_id, w.urgent, w.priority, w.scheduled_at, w.campaign_id, w.fallback
    from sicantik_notify.queue w
    where w.state = 'pending' and not w.ready and w.waiting_for is distinct from 'rule_inactive'
      and w.waiting_for is distinct from 'rate_limit' and w.waiting_for is distinct from 'campaign_paused'
      and w.scheduled_at <= (select sicantik_notify.clock())
    order by w.scheduled_at
    limit $1::bigint
    for update skip locked
), terms as materialized (
    select r.id as rule_id, r.active, sicantik_notify.rate_room(r.id) as room,
           case when o.opens > n.now then o.opens end as opens
    from sicantik_notify.rule r
    left join sicantik_notify.trigger t on t.code = r.trigger
    cross join lateral (select sicantik_notify.clock() as now) n
    cross join lateral (select sicantik_notify.window_opens(r.send_window, t.timezone, n.now) as opens) o
    where r.id = any (array(select d.rule_id from due d))
), placed as materialized (
    select d.id, case when d.urgent then null else t.opens end as opens, t.active, s.sends,
           -- A fallback has its place.
           not d.fallback
           and t.room < row_number() over (partition by d.rule_id, s.sends and (t.opens is null or d.urgent), d.fallback
                                           order by d.urgent desc, d.priority desc, d.scheduled_at, d.id) as over
    from due d
    join terms t on t.rule_id = d.rule_id
    left join sicantik_notify.campaign c on c.id = d.campaign_id
    cross join lateral (select sicantik_notify.campaign_sends(c.state) as sends) s
), decided as materialized (
    select p.id, p.opens,
           case when not p.active then 'rule_inactive' when not p.sends then 'campaign_paused' when p.opens is not null then 'quiet_hours'
                when p.over then 'rate_limit' end as waits
    from placed p
)
update sicantik_notify.queue q
set ready = d.waits is null, waiting_for = d.waits,
    scheduled_at = case when d.waits = 'quiet_hours' then d.opens else q.scheduled_at end
from decided d
where q.id = d.id and q.id = any (array(select d.id from decided d))
