-- Who was told of a record for a value already, and whose mark still stands. Marks nothing.
-- $1 rule, $2 seconds after which a mark is over (null: never), $3 record, $4 model, $5 value, $6 numbers.
-- Index: repeat_mark_pkey.
select k.phone, k.marked_at as told_at, k.message_id as told_by
from sicantik_notify.repeat_mark k
where k.rule_id = $1::bigint and k.record_id = $3::bigint and k.model = $4::text and k.value = $5::text and k.phone = any ($6::text[])
  and ($2::double precision is null or k.marked_at > sicantik_notify.clock() - make_interval(secs => $2::double precision))
