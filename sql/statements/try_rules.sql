-- Rules that are only tried, in the columns of `rules`: rows of the table that nobody has stored.
-- $1 their columns, an array
select r.id, r.code, r.name, r.active, r.trigger, r.condition_domain, r.condition_python, r.template_key, r.recipient_type,
       r.staff_group, r.official_group, r.schedule_type, r.scheduled_delay, r.max_retries, r.retry_delay, r.retry_backoff,
       r.context_preparation_code, r.priority, r.recipient_domain, r.recipient_field, r.repeat_policy, r.repeat_field, r.repeat_cooldown,
       r.group_by, r.on_name_mismatch
from jsonb_array_elements($1::jsonb) with ordinality e (doc, place)
cross join lateral jsonb_populate_record(null::sicantik_notify.rule, e.doc) r
order by e.place
