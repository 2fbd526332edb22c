-- receipt_furthest: how far each message got, by its receipts. Arrived by any attempt is arrived; otherwise the last attempt counts.
create view sicantik_notify.receipt_furthest as
select distinct on (r.message_id) r.message_id, r.state, r.at, r.provider_type, r.code, r.error
from sicantik_notify.receipt r
order by r.message_id, r.rank > 2 desc, r.attempt_id desc, r.rank desc;
comment on view sicantik_notify.receipt_furthest is 'How far each message got, by its receipts';
