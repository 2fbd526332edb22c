-- Recipients whom an account must not write to yet, with the seconds that are left.
-- $1 numbers
select r.provider_id, r.phone, extract(epoch from r.next_send_at - sicantik_notify.clock())::double precision as seconds
from sicantik_notify.recipient_pace r
where r.phone = any ($1::text[]) and r.next_send_at > sicantik_notify.clock()
