-- Keeps receipts as they came; one that waits already is not kept twice.
-- $1… one array a column
insert into sicantik_notify.receipt_inbox (provider_id, external_id, state, at, message_id, attempt_id, class, code, error,
                                           consequence, pause_seconds)
select s.provider_id, s.external_id, s.state, least(s.at, sicantik_notify.clock()), s.message_id, s.attempt_id, s.class, s.code, s.error,
       s.consequence, s.pause_seconds
from unnest($1::bigint[], $2::text[], $3::text[], $4::timestamptz[], $5::bigint[], $6::bigint[], $7::text[], $8::text[], $9::text[],
            $10::text[], $11::integer[])
     as s (provider_id, external_id, state, at, message_id, attempt_id, class, code, error, consequence, pause_seconds)
on conflict do nothing
