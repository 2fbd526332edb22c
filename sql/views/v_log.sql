-- v_log: every finished message (SICANTIK guide §8.2).
create view sicantik_notify.v_log as
select l.finished_at, l.id, l.state, l.rule_code as rule, l.trigger_code as trigger, l.model, l.record_id,
       l.partner_id, l.partner_name, sicantik_notify.show_phone(l.phone) as phone, l.template_key, l.provider_type,
       l.external_id, l.sent_at, l.code, l.error, l.tries, l.possible_duplicate, l.processing_time_ms,
       l.changed_at, l.created_at, l.retry_of
from sicantik_notify.log l;
comment on view sicantik_notify.v_log is 'Log: every finished message, with provider, times and error';
