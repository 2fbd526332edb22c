-- What became of a run: decisions on its events, with the messages.
-- $1 first event, $2 last event, $3 run, $4 how many. Indexes: decision_event_idx, queue_pkey, log_pkey.
select d.outcome, d.rule_code, d.record_id, d.partner_id, d.message_id, d.reason, q.partner_name, q.state
from sicantik_notify.decision d
left join lateral (
    select w.partner_name, w.state from sicantik_notify.queue w where w.id = d.message_id
    union all
    select l.partner_name, l.state from sicantik_notify.log l where l.id = d.message_id
    limit 1
) q on d.message_id is not null
where d.event_id between $1::bigint and $2::bigint and d.xact = ($3::text)::xid8
order by d.id
limit $4::bigint
