-- v_attempt: each try to hand a message to a provider.
create view sicantik_notify.v_attempt as
select a.started_at, a.id, a.message_id, p.name as provider, a.provider_type, a.template_key,
       coalesce(a.outcome, 'open') as outcome, a.class, a.http_status, a.code, a.error, a.external_id, a.duration_ms, a.note
from sicantik_notify.attempt a
left join sicantik_notify.provider p on p.id = a.provider_id;
comment on view sicantik_notify.v_attempt is 'Each try to hand a message to a provider, with its answer';
