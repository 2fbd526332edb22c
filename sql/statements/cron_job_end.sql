-- A job's run is over: its row in the history, and where the job stands. After a failure it is tried again sooner than it would be
-- due: after a minute, two, four …; at once where its instance ended before it did.
-- $1 state, $2 term, $3 error, $4 records, $5 what it did, $6 seconds after which it wants to run again (of failures only the first one),
-- $7 instance
with ended as (
    update sicantik_notify.cron_state s
    set running_term = null, running_since = null, running_for = null, running_due = null,
        last_error = $3::text,
        failures = case when $3::text is null then 0 else s.failures + 1 end,
        last_ok_at = case when $3::text is null then s.last_run_at else s.last_ok_at end,
        next_run_at = case
            when $6::double precision is not null and ($3::text is null or s.failures = 0) then least(s.next_run_at, sicantik_notify.clock() + make_interval(secs => $6::double precision))
            when $3::text is not null then
                least(s.next_run_at, sicantik_notify.clock() + make_interval(mins => (2 ^ least(s.failures, 5))::integer))
            else s.next_run_at
        end
    from sicantik_notify.cron_state o
    where s.id = $1::bigint and s.running_term = $2::bigint and o.id = s.id
    returning s.job, o.running_since, o.running_for, o.running_due
)
insert into sicantik_notify.cron_run (kind, code, outcome, due_at, started_at, asked_by, records, detail, error, term, instance)
select 'job', e.job, case when $3::text is null then 'done' else 'failed' end, e.running_due, e.running_since, e.running_for,
       $4::bigint, $5::text, $3::text, $2::bigint, $7::text
from ended e
