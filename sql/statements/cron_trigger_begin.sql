-- Takes a run of a trigger: only if it stands as it was seen, and the request too. The events come in the same transaction.
-- Never waits for a row that somebody has locked: the next look finds it.
-- $1 state, $2 due time as seen, $3 request, $4 next run
with asked as (
    delete from sicantik_notify.cron_request r where r.id = $3::bigint returning r.asked_by
)
update sicantik_notify.cron_state s
set last_run_at = sicantik_notify.clock(), next_run_at = $4::timestamptz, note = null,
    note_since = case when s.problem is not null then s.note_since end
where s.id = (select x.id from sicantik_notify.cron_state x where x.id = $1::bigint for no key update skip locked)
  and s.next_run_at is not distinct from $2::timestamptz
  and ($3::bigint is null or exists (select from asked a))
returning s.last_run_at
