-- Providers with their health and secrets, in the order of the fallback. A half-open circuit is open to all but the one message
-- that goes first, and to that one too until the account was checked.
select p.id, p.name, p.provider_type, p.sequence, p.active, p.is_default, p.settings, p.on_uncertain,
       extract(epoch from p.uncertain_wait)::double precision as uncertain_wait,
       h.open_until is not null
       and (h.open_until > sicantik_notify.clock() or h.checked_at is null or h.checked_at < h.open_until
            or coalesce(h.probe_until > sicantik_notify.clock(), false)) as circuit_open,
       h.open_until is not null as probing,
       greatest(extract(epoch from h.open_until - sicantik_notify.clock()), 0)::double precision as open_seconds,
       greatest(extract(epoch from h.next_send_at - sicantik_notify.clock()), 0)::double precision as slow_seconds,
       coalesce((select jsonb_object_agg(s.name, jsonb_build_object('value', s.value, 'credential', s.credential))
                 from sicantik_notify.provider_secret s where s.provider_id = p.id), '{}') as secrets
from sicantik_notify.provider p
left join sicantik_notify.provider_health h on h.provider_id = p.id
order by p.sequence, p.provider_type, p.id
