-- v_provider: providers and their health; never a secret.
create view sicantik_notify.v_provider as
select p.sequence, p.id, p.name, p.provider_type, p.active, p.is_default, p.on_uncertain, p.uncertain_wait,
       exists (select from sicantik_notify.provider_secret s where s.provider_id = p.id) as has_secret,
       case when h.open_until > sicantik_notify.clock() then 'paused until ' || h.open_until else 'usable' end as circuit,
       h.failures, h.last_error, h.last_error_at, h.last_ok_at
from sicantik_notify.provider p
left join sicantik_notify.provider_health h on h.provider_id = p.id;
comment on view sicantik_notify.v_provider is 'Providers and their health';
