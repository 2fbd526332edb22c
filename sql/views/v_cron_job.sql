-- v_cron_job: the jobs, with their runs (SICANTIK guide §7.4, §8.3). Cron triggers are in v_trigger.
create view sicantik_notify.v_cron_job as
select j.code, j.name, j.model, j.method, j.interval_number, j.interval_type,
       format('%s %s', j.interval_number, case when j.interval_number = 1 then rtrim(j.interval_type, 's') else j.interval_type end)
           as "interval",
       j.active, j.priority, s.last_run_at as last_run, case when j.active then s.next_run_at end as next_run, s.last_error,
       coalesce(s.failures, 0) as failures, s.running_since,
       (select min(q.asked_by) from sicantik_notify.cron_request q where q.job = j.code) as asked_by, j.description
from sicantik_notify.cron_job j
left join sicantik_notify.cron_state s on s.job = j.code;
comment on view sicantik_notify.v_cron_job is 'Cron Jobs: what the leader runs, how often, when last and when next';
