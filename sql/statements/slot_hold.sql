-- Locks the position, so that no other consumer stores events meanwhile, and says where it stands and whether too many events
-- wait for evaluation already (the file of event never shrinks: its size is compared with what it was when it was last empty).
select c.position::text as position,
       pg_relation_size(e.oid) + coalesce(pg_relation_size(nullif(e.reltoastrelid, 0)), 0)
           - coalesce(pg_sequence_last_value('sicantik_notify.event_floor'), 0)
       > (select coalesce(max(s.value) filter (where s.value ~ '^[0-9]{1,18}$'), '1073741824')::bigint
          from sicantik_notify.setting s where s.key = 'capture_max_backlog_bytes') as is_full
from sicantik_notify.capture_slot c
cross join pg_class e
where e.oid = 'sicantik_notify.event'::regclass
for update of c
