-- v_receipt: what providers told afterwards, message by message.
create view sicantik_notify.v_receipt as
select r.received_at, r.message_id, r.attempt_id, r.state, r.at, p.name as provider, r.provider_type, r.external_id, r.class, r.code, r.error
from sicantik_notify.receipt r
left join sicantik_notify.provider p on p.id = r.provider_id;
comment on view sicantik_notify.v_receipt is 'What providers told after they had accepted a message: sent, delivered, read, failed';
