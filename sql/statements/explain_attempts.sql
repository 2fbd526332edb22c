-- Each try to hand these messages to a provider, in order.
-- $1 messages. Index: attempt_message_id_idx.
select a.message_id, a.started_at, coalesce(p.name, a.provider_type) as provider, a.provider_type, a.template_key, a.outcome, a.class,
       a.http_status, a.code, a.error, a.external_id, a.duration_ms
from sicantik_notify.attempt a
left join sicantik_notify.provider p on p.id = a.provider_id
where a.message_id = any ($1::bigint[])
order by a.message_id, a.id
