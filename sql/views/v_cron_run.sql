-- v_cron_run: every run of jobs and cron triggers (SICANTIK guide §8.3, View Logs), kept for cron_run_days.
create view sicantik_notify.v_cron_run as
select r.id, r.kind, r.code, coalesce(j.name, t.name, r.code) as name, r.outcome, r.due_at, r.started_at, r.finished_at,
       round(extract(epoch from r.finished_at - r.started_at) * 1000)::bigint as duration_ms,
       coalesce(r.asked_by, 'schedule') as asked_by, r.missed, r.records, r.detail, r.error, r.xact, r.term, r.instance
from sicantik_notify.cron_run r
left join sicantik_notify.cron_job j on r.kind = 'job' and j.code = r.code
left join sicantik_notify.trigger t on r.kind = 'trigger' and t.code = r.code;
comment on view sicantik_notify.v_cron_run is
    'Runs of jobs and cron triggers: who asked, what it did, how long it took; xact names the run in queue and v_decision';
