-- v_capture: what is watched, since when, what waits, what was missed; and how far behind the slot is, where it captures.
create view sicantik_notify.v_capture as
select p.model, p.table_name, p.shape, p.active, p.on_insert, p.any_write, p.watched, p.read,
       (select max(c.published_at) from sicantik_notify.capture_publication c where c.model = p.model) as published_at,
       (select count(*) from sicantik_notify.event e where e.model = p.model) as events_waiting,
       (select min(e.occurred_at) from sicantik_notify.event e where e.model = p.model) as oldest_event,
       (select case when m.is_called then m.last_value else 0 end from sicantik_notify.miss m) as misses_ever,
       coalesce((select string_agg(f.finding, '; ') from sicantik_notify.hook_findings() f where f.model = p.model), 'ok') as hooks,
       case when t.until_lsn is null and t.table_name is not null then 'logical' else 'triggers' end as backend,
       t.from_lsn, t.until_lsn, k.slot_name, k.position, k.moved_at, s.active_pid, s.wal_status,
       pg_wal_lsn_diff(case when pg_is_in_recovery() then pg_last_wal_replay_lsn() else pg_current_wal_lsn() end,
                       s.confirmed_flush_lsn)::bigint as lag_bytes
from sicantik_notify.capture_plan p
left join sicantik_notify.capture_slot_table t on t.table_name = p.table_name
left join sicantik_notify.capture_slot k on t.table_name is not null
left join pg_catalog.pg_replication_slots s on s.slot_name = k.slot_name;
comment on view sicantik_notify.v_capture is
    'Capture, table by table: what is watched, since when, what waits, what was missed; by hook (triggers) or from the slot (logical)';
