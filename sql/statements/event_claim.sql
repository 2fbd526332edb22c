-- All visible events of the records that the oldest events of the locked shards belong to.
-- A statement of its own: its snapshot is taken after the shard locks. Index: event_pkey, event_record_id_idx.
-- $1 how many of the oldest events to look at, $2 locked shards, $3 how many records at most
with wanted as (
    select e.model, e.record_id, min(e.id) as first
    from (
        select id, model, record_id
        from sicantik_notify.event
        order by id
        limit $1::bigint
    ) e
    where (hashtextextended(e.model, e.record_id) & 63)::integer = any ($2::integer[])
    group by e.model, e.record_id
    order by first
    limit $3::bigint
)
select e.id, e.model, e.record_id, e.xact::text as xact, e.occurred_at, e.op::text as op, e.changed, e.old, e.new,
       e.tries, e.target_trigger, e.target_rule, e.kwargs
from wanted w
join sicantik_notify.event e on e.record_id = w.record_id and e.model = w.model
order by e.id
