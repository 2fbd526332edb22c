-- Where a job or a trigger stands that was not looked at before.
-- $1 job, $2 trigger, $3 fingerprint of its schedule, $4 next run, $5 problem
insert into sicantik_notify.cron_state (job, trigger_id, fingerprint, next_run_at, problem, note_since)
select $1::text, t.id, $3::text, $4::timestamptz, $5::text, case when $5::text is not null then sicantik_notify.clock() end
from (select 1) one
left join sicantik_notify.trigger t on t.id = $2::bigint
where $1::text is not null or t.id is not null
on conflict do nothing
