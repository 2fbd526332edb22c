-- Where an event or a message belongs: its record and its transaction. No row: it is not known (any more).
-- The arms are looked at in turn until one answers. What was set aside has a decision too, so that its arm, which reads all of
-- them, is needed only for the later statements of a change.
-- $1 event, $2 message; one of them null. Indexes: event_pkey, event_history_id_idx, queue_pkey, log_pkey, decision_message_idx,
-- decision_event_idx.
select x.model, x.record_id, x.xact
from (
    select e.model, e.record_id, e.xact::text as xact from sicantik_notify.v_event e where e.id = $1::bigint
    union all
    select h.model, h.record_id, h.xact::text from sicantik_notify.event_history h where h.id = $1::bigint
    union all
    select q.model, q.record_id, q.xact::text from sicantik_notify.queue q where q.id = $2::bigint
    union all
    select l.model, l.record_id, null from sicantik_notify.log l where l.id = $2::bigint
    union all
    select d.model, d.record_id, d.xact::text from sicantik_notify.decision d where d.message_id = $2::bigint
    union all
    select d.model, d.record_id, d.xact::text from sicantik_notify.decision d where d.event_id = $1::bigint
    union all
    select s.model, s.record_id, s.events -> 0 ->> 'xact'
    from sicantik_notify.event_set_aside s
    where s.events @> jsonb_build_array(jsonb_build_object('id', $1::bigint))
) x
limit 1
