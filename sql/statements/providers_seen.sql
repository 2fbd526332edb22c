-- Providers as `providers` lists them, for whoever may not read secrets: which there are, and a word in the place of each.
select p.id, p.name, p.provider_type, p.sequence, p.active, p.is_default, p.settings, p.on_uncertain,
       extract(epoch from p.uncertain_wait)::double precision as uncertain_wait,
       h.open_until is not null
       and (h.open_until > sicantik_notify.clock() or h.checked_at is null or h.checked_at < h.open_until
            or coalesce(h.probe_until > sicantik_notify.clock(), false)) as circuit_open,
       h.open_until is not null as probing,
       greatest(extract(epoch from h.open_until - sicantik_notify.clock()), 0)::double precision as open_seconds,
       greatest(extract(epoch from h.next_send_at - sicantik_notify.clock()), 0)::double precision as slow_seconds,
       coalesce((select jsonb_object_agg(s.name, jsonb_build_object('value', 'unread'))
                 from sicantik_notify.provider_secret s where s.provider_id = p.id), '{}') as secrets
from sicantik_notify.provider p
left join sicantik_notify.provider_health h on h.provider_id = p.id
order by p.sequence, p.provider_type, p.id
