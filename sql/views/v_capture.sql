-- v_capture: the hooks: what they watch, since when, what waits, what was missed.
create view sicantik_notify.v_capture as
select p.model, p.table_name, p.shape, p.active, p.on_insert, p.any_write, p.watched, p.read,
       (select max(c.published_at) from sicantik_notify.capture_publication c where c.model = p.model) as published_at,
       (select count(*) from sicantik_notify.event e where e.model = p.model) as events_waiting,
       (select min(e.occurred_at) from sicantik_notify.event e where e.model = p.model) as oldest_event,
       (select case when m.is_called then m.last_value else 0 end from sicantik_notify.miss m) as misses_ever,
       coalesce((select string_agg(f.finding, '; ') from sicantik_notify.hook_findings() f where f.model = p.model), 'ok') as hooks
from sicantik_notify.capture_plan p;
comment on view sicantik_notify.v_capture is 'The hooks: what they watch, since when, what waits, what was missed';
