-- v_instance: the daemons, and which of them runs the schedules.
create view sicantik_notify.v_instance as
select i.id, i.name, i.pid, i.version, i.started_at, i.heartbeat_at,
       i.heartbeat_at > sicantik_notify.clock() - interval '10 seconds' as alive, i.delivering, i.note,
       coalesce(l.instance_id = i.id and l.lease_until > clock_timestamp(), false) as leads,
       case when l.instance_id = i.id then l.term end as term, case when l.instance_id = i.id then l.since end as leads_since
from sicantik_notify.instance i
cross join sicantik_notify.leader l;
comment on view sicantik_notify.v_instance is 'Running daemons; leads: the one that runs jobs, cron triggers and campaigns';
