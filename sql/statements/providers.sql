-- Providers with their health and secrets, in the order of the fallback.
select p.id, p.name, p.provider_type, p.sequence, p.active, p.is_default, p.settings, p.on_uncertain,
       extract(epoch from p.uncertain_wait)::double precision as uncertain_wait,
       coalesce(h.open_until > sicantik_notify.clock(), false) as circuit_open,
       coalesce((select jsonb_object_agg(s.name, jsonb_build_object('value', s.value, 'credential', s.credential))
                 from sicantik_notify.provider_secret s where s.provider_id = p.id), '{}') as secrets
from sicantik_notify.provider p
left join sicantik_notify.provider_health h on h.provider_id = p.id
order by p.sequence, p.provider_type, p.id
