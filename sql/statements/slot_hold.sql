-- Locks the position, so that no other consumer stores events meanwhile, and says where it stands.
select c.position::text as position
from sicantik_notify.capture_slot c
for update
