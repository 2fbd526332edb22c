-- Another schedule, or none that can be read: takes effect at once, and only on what stands as it was seen.
-- $1 state, $2 fingerprint as seen, $3 fingerprint, $4 next run, $5 problem
update sicantik_notify.cron_state s
set fingerprint = $3::text, next_run_at = $4::timestamptz, problem = $5::text,
    note_since = case when s.problem is not distinct from $5::text then s.note_since
                      when $5::text is not null then sicantik_notify.clock() end,
    note = null
where s.id = (select x.id from sicantik_notify.cron_state x where x.id = $1::bigint for no key update skip locked)
  and s.fingerprint is not distinct from $2::text
