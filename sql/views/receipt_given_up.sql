-- receipt_given_up: messages that log calls sent and that their provider gave up afterwards, unless they arrived all the same.
create view sicantik_notify.receipt_given_up as
select g.id as message_id, g.finished_at, g.provider_type, g.code, g.error
from sicantik_notify.log_given_up g
where not exists (select from sicantik_notify.receipt x where x.message_id = g.id and x.state in ('delivered', 'read'));
comment on view sicantik_notify.receipt_given_up is 'Messages that were sent and that their provider gave up afterwards';
