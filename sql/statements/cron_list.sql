-- Jobs, then cron triggers: for people, and whole for programmes.
with listed as (
    select 1 as part, 'job' as kind, j.code, j.name, j.active, 'every ' || j."interval" as schedule, j.priority, j.last_run, j.next_run,
           case when j.running_since is not null then 'running' end as now, j.last_error, null::text as timezone, -j.priority as place
    from sicantik_notify.v_cron_job j
    union all
    select 2, 'trigger', t.code, t.name, t.active, t.watches, null, t.last_run, t.next_run, null, t.last_error, r.timezone, t.sequence
    from sicantik_notify.v_trigger t
    join sicantik_notify.trigger r on r.code = t.code
    where t.trigger_type = 'cron'
)
select l.kind, l.code, l.name, l.active, coalesce(l.schedule, '') as schedule, coalesce(l.priority::text, '') as priority,
       l.now, l.last_run, l.next_run,
       coalesce(l.last_error, '') as last_error,
       jsonb_build_object('kind', l.kind, 'code', l.code, 'name', l.name, 'active', l.active, 'schedule', l.schedule, 'priority', l.priority,
                          'last_run', l.last_run, 'next_run', l.next_run, 'running', l.now is not null, 'last_error', l.last_error,
                          'timezone', l.timezone) as whole
from listed l
order by l.part, l.place, l.code
