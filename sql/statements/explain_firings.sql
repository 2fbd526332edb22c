-- Who fired in these transactions.
-- $1 transactions. Index: firing_pkey.
select f.xact::text as xact, f.trigger_id, f.source, f.fired_by, f.fired_at, f.events, f.kwargs
from sicantik_notify.firing f
where f.xact = any (($1::text[])::xid8[])
