-- receipt_given_up: messages that log calls sent and that their provider gave up afterwards: its last word, and nothing tells that the
-- message arrived. Few; found by message and by its place in log.
-- Index: receipt_given_up_idx, receipt_given_up_at_idx, receipt_message_id_idx.
create view sicantik_notify.receipt_given_up as
select f.message_id, f.message_at, f.attempt_id, f.at, f.provider_type, f.code, f.error
from sicantik_notify.receipt f
where f.message_at is not null
  and not exists (select from sicantik_notify.receipt x
                  where x.message_id = f.message_id and (x.state in ('delivered', 'read') or x.attempt_id > f.attempt_id));
comment on view sicantik_notify.receipt_given_up is 'Messages that were sent and that their provider gave up afterwards';
