-- The jobs and where they stand, the most urgent first; those without a state have not been looked at yet.
select sicantik_notify.clock() as now, j.code, j.name, j.active, j.interval_number, j.interval_type,
       s.id, s.fingerprint, s.next_run_at, s.failures, s.running_term, s.running_since, s.running_for, s.running_due,
       q.id as request, j.retimed_at
from sicantik_notify.cron_job j
left join sicantik_notify.cron_state s on s.job = j.code
left join lateral (
    select r.id, r.asked_by from sicantik_notify.cron_request r where r.job = j.code order by r.id limit 1
) q on true
order by j.priority desc, j.code
