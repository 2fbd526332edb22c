-- Captured statements since a moment, all of the next records of a model, waiting ones and those of the history. What was set aside and
-- taken up again is left out: its first event is here too. Each arm reads so many rows of its index and no more; what lies beyond the
-- end of an arm that was cut is left for the next call.
-- Operators ask too, who see waiting events through the view alone.
-- $1 model, $2 since, $3 after this record, $4 how many rows, $5 the trigger, whose firings count. Indexes: event_record_id_idx,
-- event_history_record_idx.
with waiting as materialized (
    select e.record_id
    from sicantik_notify.v_event e
    where e.record_id > $3::bigint and e.model = $1::text and e.occurred_at >= $2::timestamptz and e.target_rule is null
      and case when e.op = 'F' then e.target_trigger = $5::bigint else e.target_trigger is null end
    order by e.record_id
    limit $4::bigint
), evaluated as materialized (
    select h.record_id
    from sicantik_notify.event_history h
    where h.record_id > $3::bigint and h.model = $1::text and h.occurred_at >= $2::timestamptz and h.evaluated_at >= $2::timestamptz
      and h.target_rule is null and case when h.op = 'F' then h.target_trigger = $5::bigint else h.target_trigger is null end
    order by h.record_id
    limit $4::bigint
), bound as (
    select least((select max(w.record_id) from waiting w having count(*) = $4::bigint),
                 (select max(v.record_id) from evaluated v having count(*) = $4::bigint)) as record_id
), records as materialized (
    select x.record_id
    from (select w.record_id from waiting w union select v.record_id from evaluated v) x
    cross join bound b
    where b.record_id is null or x.record_id <= b.record_id
)
select e.id, e.model, e.record_id, e.xact::text as xact, e.occurred_at, e.op::text as op, e.changed, e.old, e.new, 0::smallint as tries,
       e.target_trigger, e.target_rule, e.kwargs
from records r
join sicantik_notify.v_event e on e.record_id = r.record_id
where e.model = $1::text and e.occurred_at >= $2::timestamptz and e.target_rule is null
  and case when e.op = 'F' then e.target_trigger = $5::bigint else e.target_trigger is null end
union all
select h.id, h.model, h.record_id, h.xact::text, h.occurred_at, h.op::text, h.changed, h.old, h.new, 0::smallint, h.target_trigger,
       h.target_rule, h.kwargs
from records r
join sicantik_notify.event_history h on h.record_id = r.record_id
where h.model = $1::text and h.occurred_at >= $2::timestamptz and h.evaluated_at >= $2::timestamptz and h.target_rule is null
  and case when h.op = 'F' then h.target_trigger = $5::bigint else h.target_trigger is null end
order by 3, 1
