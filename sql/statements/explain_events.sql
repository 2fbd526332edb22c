-- Captured statements on a record, waiting or evaluated, newest first.
-- $1 model, $2 record, $3 how many. Indexes: event_record_id_idx, event_history_record_idx.
select x.*
from (
    select e.id, e.model, e.record_id, e.xact::text as xact, e.occurred_at, e.op::text as op, e.changed, e.old, e.new, e.failed_evaluations as tries,
           e.target_trigger, e.target_rule, e.kwargs, null::timestamptz as evaluated_at
    from sicantik_notify.v_event e
    where e.model = $1::text and e.record_id = $2::bigint
    union all
    select h.id, h.model, h.record_id, h.xact::text, h.occurred_at, h.op::text, h.changed, h.old, h.new, h.tries,
           h.target_trigger, h.target_rule, h.kwargs, h.evaluated_at
    from sicantik_notify.event_history h
    where h.model = $1::text and h.record_id = $2::bigint
) x
order by x.id desc
limit $3::bigint
