-- The memory of an instance is lost: whatever was due when the old primary was lost may have been sent in its last seconds, which this
-- server lacks. All of it becomes uncertain: claimed by an instance that
-- has not reported, or due and from before. Of a limited rule not more
-- than its limit let through in that time, in the order in which they go.
-- Runs once, in the transaction that opens the timeline: nothing is claimed here before. Returns how many.
-- $1 timeline, $2 how long the lost time is at most, in seconds
with line as materialized (
    select t.seen_at, t.reported from sicantik_notify.timeline t where t.timeline = $1::bigint
), policy as materialized (
    -- Nobody knows through which provider: the most careful answer of all.
    select coalesce(max(p.uncertain_wait), interval '5 minutes') as wait, coalesce(bool_or(p.on_uncertain = 'hold'), false) as hold
    from sicantik_notify.provider p
    where p.active
), due as materialized (
    select q.id,
           r.rate_limit_enabled
               and row_number() over (partition by q.rule_id order by q.urgent desc, q.priority desc, q.scheduled_at, q.id)
                   > r.rate_limit_count
                     * (1 + ceil($2::double precision / extract(epoch from sicantik_notify.rate_period(r.rate_limit_period)))) as beyond
    from sicantik_notify.queue q
    join sicantik_notify.rule r on r.id = q.rule_id and r.active
    cross join line l
    where q.state = 'pending' and q.waiting_for is distinct from 'rule_inactive' and q.scheduled_at <= sicantik_notify.clock()
      and coalesce(q.changed_at, q.created_at) < l.seen_at
), doubtful as materialized (
    select d.id from due d where not d.beyond
    union all
    select q.id
    from sicantik_notify.queue q
    cross join line l
    where q.state = 'processing' and q.claimed_by <> all (l.reported)
), doubted as (
    update sicantik_notify.queue q
    set state = case when o.hold or q.uncertain_sends > 0 then 'held' else 'pending' end,
        ready = false, waiting_for = null, scheduled_at = sicantik_notify.clock() + o.wait,
        uncertain_sends = q.uncertain_sends + 1, possible_duplicate = true, postponed = 0, fallback = false,
        last_error = 'it was due when the database moved to another server, and the daemon that may have sent it is gone',
        claimed_by = null, lease_until = null, on_wire = null
    from policy o
    where q.id = any (array(select d.id from doubtful d))
    returning q.id
), counted as (
    update sicantik_notify.timeline t set doubted = (select count(*) from doubted) where t.timeline = $1::bigint
)
select count(*) from doubted
