-- Events from the log, in its order.
-- $1 records, $2 operations, $3 transactions, $4 commit times, $5 models, $6 changed columns (array literals),
-- $7 old values, $8 new values (JSON)
insert into sicantik_notify.event (record_id, op, xact, occurred_at, model, changed, old, new)
select u.record_id, u.op::"char", u.xact::xid8, u.occurred_at, u.model, u.changed::text[], u.old::jsonb, u.new::jsonb
from unnest($1::bigint[], $2::text[], $3::text[], $4::timestamptz[], $5::text[], $6::text[], $7::text[], $8::text[])
     with ordinality as u (record_id, op, xact, occurred_at, model, changed, old, new, place)
order by u.place
