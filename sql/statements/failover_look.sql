-- Which timeline the server writes, whether it is noted and open, and whether lost sends wait for their message.
select s.line as timeline, t.timeline is not null as noted, t.opened_at is not null as open,
       (select l.attempt_id from sicantik_notify.lost_send l where l.settled_at is null limit 1) is not null as unsettled
from sicantik_notify.server_timeline() as s (line)
left join sicantik_notify.timeline t on t.timeline = s.line
