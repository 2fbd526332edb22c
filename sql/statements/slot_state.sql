-- What stands before the slot is read: where to begin, why not, who reads it now.
select c.slot_name::text as slot_name, c.publication_name::text as publication_name, c.position::text as position,
       sicantik_notify.slot_refusal() as refusal,
       (select s.active_pid from pg_replication_slots s where s.slot_name = c.slot_name) as active_pid,
       exists (select from pg_publication p where p.pubname = c.publication_name) as published,
       pg_snapshot_xmax(pg_current_snapshot())::text as next_xact
from sicantik_notify.capture_slot c
