-- The heartbeat of an instance, which also renews its leases. Returns false if the row is gone: somebody else cleaned up.
-- $1 instance, $2 lease in seconds, $3 delivering, $4 note
with alive as (
    update sicantik_notify.instance i
    set heartbeat_at = clock_timestamp(), delivering = $3::boolean, note = $4::text
    where i.id = $1::bigint
    returning i.id
), renewed as (
    update sicantik_notify.queue q
    set lease_until = clock_timestamp() + make_interval(secs => $2::double precision)
    from alive a
    where q.claimed_by = a.id and q.state = 'processing'
      and q.lease_until < clock_timestamp() + make_interval(secs => $2::double precision / 2)
    returning q.id
)
select exists (select from alive) as alive, (select count(*) from renewed) as renewed
