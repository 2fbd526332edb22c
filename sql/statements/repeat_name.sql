-- Names the message in the marks of records that waited in a digest.
-- $1 rule, $2 numbers, $3 records, $4 models, $5 messages
update sicantik_notify.repeat_mark k
set message_id = d.message_id
from unnest($2::text[], $3::bigint[], $4::text[], $5::bigint[]) as d (phone, record_id, model, message_id)
where k.rule_id = $1::bigint and k.phone = d.phone and k.record_id = d.record_id and k.model = d.model and k.message_id is null
