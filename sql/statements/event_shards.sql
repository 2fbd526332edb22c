-- Locks, for this transaction, some of the shards in which the oldest events lie; returns those it got.
-- Events of a record must be taken together, which SKIP LOCKED on rows cannot do; a shard is hash(model, id) mod 64.
-- The lock is released after the commit is visible, so the next holder never sees events that were just evaluated.
-- This transaction's commit does not wait for the disk: what rests on it is claimed and recorded in later ones that do, and that the
-- server writes behind it. A crash before that leaves the events as they were.
-- Materialized: merged into the outer query, the test would be made for every shard before LIMIT counts, and the first evaluator would lock
-- them all.
-- $1 how many of the oldest events to look at, $2 how many shards at most
with shards as materialized (
    select e.shard, min(e.id) as first
    from (
        select id, (hashtextextended(model, record_id) & 63)::integer as shard
        from sicantik_notify.event
        order by id
        limit $1::bigint
    ) e
    group by e.shard
    order by first
)
select s.shard
from (select set_config('synchronous_commit', 'off', true) offset 0) c
cross join shards s
where pg_try_advisory_xact_lock(1936286067, s.shard)
limit $2::bigint
