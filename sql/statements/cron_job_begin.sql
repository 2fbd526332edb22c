-- Takes a job that is due or was asked for: only if it stands as it was seen.
-- $1 state, $2 due time as seen, $3 request as seen, $4 next run, $5 term
update sicantik_notify.cron_state
set last_run_at = sicantik_notify.clock(), next_run_at = $4::timestamptz, running_term = $5::bigint,
    running_since = sicantik_notify.clock(), running_for = requested_by,
    running_due = case when requested_at is null then $2::timestamptz end, requested_at = null, requested_by = null
where id = $1::bigint and next_run_at is not distinct from $2::timestamptz
  and requested_at is not distinct from $3::timestamptz and running_term is null
returning id
