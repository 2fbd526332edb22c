-- Begins a new term, where the lease is still as it was seen. Changing the term changes a key: it waits for transactions that hold
-- the old one.
-- $1 term and $2 lease as seen, $3 instance, $4 its name, $5 seconds of the lease
update sicantik_notify.leader
set term = term + 1, instance_id = $3::bigint, holder = $4::text, since = sicantik_notify.clock(),
    lease_until = clock_timestamp() + make_interval(secs => $5::double precision)
where term = $1::bigint and lease_until = $2::timestamptz
returning term
