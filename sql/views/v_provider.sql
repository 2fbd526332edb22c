-- v_provider: providers, their circuits and pace; never a secret.
create view sicantik_notify.v_provider as
select p.sequence, p.id, p.name, p.provider_type, p.active, p.is_default, p.on_uncertain, p.uncertain_wait,
       exists (select from sicantik_notify.provider_secret s where s.provider_id = p.id) as has_secret,
       case
           when h.open_until > sicantik_notify.clock() then 'open'
           when h.open_until is not null then 'half-open'
           else 'closed'
       end as circuit,
       case
           when h.open_until > sicantik_notify.clock() then h.open_until
           when h.probe_until > sicantik_notify.clock() then h.probe_until
           when h.open_until is not null then sicantik_notify.clock()
       end as next_probe_at,
       h.opened_at, coalesce(h.openings, 0) as openings, coalesce(h.failures, 0) as failures,
       case when h.next_send_at > sicantik_notify.clock() then h.next_send_at end as next_send_at,
       h.last_error, h.last_error_at, h.last_ok_at, h.checked_at, h.templates_synced_at, h.template_sync_error
from sicantik_notify.provider p
left join sicantik_notify.provider_health h on h.provider_id = p.id;
comment on view sicantik_notify.v_provider is
    'Providers: circuit (closed, open, half-open), next probe, pace, last error';
