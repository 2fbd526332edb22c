-- The jobs and where they stand, the most urgent first; those without a state have not been looked at yet.
select sicantik_notify.clock() as now, j.code, j.name, j.active, j.interval_number, j.interval_type,
       s.id, s.fingerprint, s.next_run_at, s.failures, s.running_term, s.running_since, s.running_for, s.running_due,
       s.requested_at, s.requested_by
from sicantik_notify.cron_job j
left join sicantik_notify.cron_state s on s.job = j.code
order by j.priority desc, j.code
