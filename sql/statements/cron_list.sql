-- Jobs, then cron triggers: as texts for people in the office's time zone, and whole for programmes.
with zone as (
    select coalesce((select z.name from sicantik_notify.setting s join pg_timezone_names z on z.name = s.value where s.key = 'timezone'),
                    'UTC') as name
), listed as (
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
       coalesce(l.now, to_char(l.last_run at time zone z.name, 'YYYY-MM-DD HH24:MI:SS'), 'never') as last_run,
       case when not l.active then 'inactive' else coalesce(to_char(l.next_run at time zone z.name, 'YYYY-MM-DD HH24:MI:SS'), 'not planned') end
           as next_run,
       coalesce(l.last_error, '') as last_error,
       jsonb_build_object('kind', l.kind, 'code', l.code, 'name', l.name, 'active', l.active, 'schedule', l.schedule, 'priority', l.priority,
                          'last_run', l.last_run, 'next_run', l.next_run, 'running', l.now is not null, 'last_error', l.last_error,
                          'timezone', l.timezone) as whole
from listed l
cross join zone z
order by l.part, l.place, l.code
