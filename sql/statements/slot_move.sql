-- Moves the position, in the transaction that stored the events up to there, and wakes whoever evaluates.
-- $1 new position, $2 transactions and $3 events that were stored
update sicantik_notify.capture_slot c
set position = $1::text::pg_lsn, moved_at = clock_timestamp(), transactions = c.transactions + $2::bigint, events = c.events + $3::bigint
returning case when $3::bigint > 0 then pg_notify('sicantik_notify_event', '')::text end
