-- What came of a run that was taken in this transaction: its row in the history, and where the trigger stands. After a failure it is
-- tried again sooner than it would be due: after a minute, two, four …
-- $1 state, $2 code, $3 outcome, $4 due time, $5 who asked, $6 times missed, $7 records, $8 in words, $9 error, $10 transaction of
-- the events, $11 term, $12 instance
with stands as (
    update sicantik_notify.cron_state s
    set last_error = $9::text,
        failures = case when $9::text is null then 0 else s.failures + 1 end,
        last_ok_at = case when $3::text = 'done' then s.last_run_at else s.last_ok_at end,
        run_xact = coalesce($10::text::xid8, s.run_xact),
        next_run_at = case when $9::text is null then s.next_run_at
                           else least(s.next_run_at, sicantik_notify.clock() + make_interval(mins => (2 ^ least(s.failures, 5))::integer)) end
    where s.id = $1::bigint
    returning s.last_run_at
)
insert into sicantik_notify.cron_run (kind, code, outcome, due_at, started_at, asked_by, missed, records, detail, error, xact, term, instance)
select 'trigger', $2::text, $3::text, $4::timestamptz, s.last_run_at, $5::text, $6::integer, $7::bigint, $8::text, $9::text,
       $10::text::xid8, $11::bigint, $12::text
from stands s
