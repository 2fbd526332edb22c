-- Rules, in their order within a trigger.
select r.id, r.code, r.name, r.active, r.trigger, r.condition_domain, r.condition_python, r.template_key, r.recipient_type,
       r.staff_group, r.official_group, r.schedule_type, r.scheduled_delay, r.max_retries, r.retry_delay, r.retry_backoff,
       r.context_preparation_code, r.priority, r.recipient_domain, r.recipient_field, r.repeat_policy, r.repeat_field, r.repeat_cooldown,
       r.group_by, r.on_name_mismatch
from sicantik_notify.rule r
order by r.trigger, r.sequence, r.code
