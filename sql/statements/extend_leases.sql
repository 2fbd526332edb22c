-- The heartbeat of an instance, which also renews the leases of what it holds in memory, and of nothing else: a claim whose
-- answer never arrived, or whose worker died, must come free by itself. Returns false if the row is gone: somebody else
-- cleaned up.
-- $1 instance, $2 lease in seconds, $3 delivering, $4 note, $5 claim tokens it holds
with alive as (
    update sicantik_notify.instance i
    set heartbeat_at = sicantik_notify.clock(), delivering = $3::boolean, note = $4::text
    where i.id = $1::bigint
    returning i.id
), renewed as (
    update sicantik_notify.queue q
    set lease_until = sicantik_notify.clock() + make_interval(secs => $2::double precision)
    from alive a
    where q.claimed_by = a.id and q.state = 'processing' and q.claim_token = any ($5::bigint[])
      and q.lease_until < sicantik_notify.clock() + make_interval(secs => $2::double precision / 2)
    returning q.id
)
select exists (select from alive) as alive, (select count(*) from renewed) as renewed
