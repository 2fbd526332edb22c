-- Takes over the work of instances that died (no heartbeat) or whose lease ran out. A message that was not on the wire goes
-- back as it was. One that was is uncertain: flagged, and sent once more after the provider's waiting time, or held where
-- the provider says so or it was uncertain before.
-- A server that was away makes every heartbeat and lease look old: both count from its start at the earliest. What the
-- calling instance holds in memory is never taken from it here, whatever the clocks say.
-- SKIP LOCKED: two instances may recover at once.
-- $1 seconds without a heartbeat, $2 how many, $3 instance, $4 claim tokens it holds
with lost as materialized (
    select q.id, q.claim_token, q.on_wire -- as locked: newer than the snapshot where attempt_begin was quicker
    from sicantik_notify.queue q
    left join sicantik_notify.instance i on i.id = q.claimed_by
    where q.state = 'processing'
      and (i.id is null
           or greatest(q.lease_until, pg_postmaster_start_time() + make_interval(secs => $1::double precision)) < sicantik_notify.clock()
           or (i.id <> $3::bigint
               and greatest(i.heartbeat_at, pg_postmaster_start_time()) < sicantik_notify.clock() - make_interval(secs => $1::double precision)))
      and not (q.claimed_by = $3::bigint and q.claim_token = any ($4::bigint[]))
    order by q.id
    limit $2::bigint
    for update of q skip locked
), unanswered as (
    update sicantik_notify.attempt a
    set finished_at = sicantik_notify.clock(), outcome = 'uncertain',
        error = 'the daemon stopped between the request and its answer'
    from lost l
    where a.message_id = l.id and a.claim_token = l.claim_token and a.finished_at is null
), freed as (
    -- Its place within the rate limit: one period from now where it may have been sent, at once where not.
    update sicantik_notify.rate_usage u
    set ended_at = case when l.on_wire is null then '-infinity' else greatest(sicantik_notify.clock(), u.reserved_at) end
    from lost l
    where u.message_id = l.id and u.ended_at is null
)
update sicantik_notify.queue q
set state = case when l.on_wire is not null and (p.on_uncertain = 'hold' or q.uncertain_sends > 0) then 'held' else 'pending' end,
    ready = l.on_wire is null,
    scheduled_at = case when l.on_wire is null then q.scheduled_at
                        else sicantik_notify.clock() + coalesce(p.uncertain_wait, interval '5 minutes') end,
    uncertain_sends = q.uncertain_sends + (l.on_wire is not null)::integer,
    possible_duplicate = q.possible_duplicate or l.on_wire is not null,
    fallback = q.fallback and l.on_wire is null,
    last_error = case when l.on_wire is null then q.last_error
                      else 'the daemon stopped between the request and its answer' end,
    claimed_by = null, lease_until = null, on_wire = null
from lost l
left join sicantik_notify.provider p on p.id = l.on_wire
where q.id = l.id and q.claim_token = l.claim_token and q.state = 'processing'
returning q.id, q.state, l.on_wire is not null as uncertain
