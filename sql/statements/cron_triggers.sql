-- Cron triggers, active or not, and where they stand. Those without a state were not looked at yet; those that are no cron triggers
-- any more lose what was planned.
select sicantik_notify.clock() as now, t.id as trigger_id, t.code, t.model, to_jsonb(t.*) as facts,
       t.active and t.trigger_type = 'cron' as active,
       s.id, s.fingerprint, s.next_run_at, s.last_run_at, s.failures, s.problem, s.note, s.run_xact::text as run_xact,
       q.id as request, q.asked_by
from sicantik_notify.trigger t
left join sicantik_notify.cron_state s on s.trigger_id = t.id
left join lateral (
    select r.id, r.asked_by from sicantik_notify.cron_request r where r.trigger_id = t.id order by r.id limit 1
) q on true
where t.trigger_type = 'cron' or s.fingerprint is not null
order by t.sequence, t.code
