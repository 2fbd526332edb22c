-- Triggers, in their order.
select id, code, name, active, sequence, model, trigger_type, state_field, state_from, state_to, field_to_watch, field_change,
       condition_domain
from sicantik_notify.trigger
order by sequence, code
