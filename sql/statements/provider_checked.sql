-- The account can send, or its check told nothing: one message may go first.
-- $1 provider, $2 the check did not get through
update sicantik_notify.provider_health h
set checked_at = sicantik_notify.clock(), probe_until = null, checked_in_vain = $2::boolean
where h.provider_id = $1::bigint and h.open_until <= sicantik_notify.clock()
