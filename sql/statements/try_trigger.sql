-- A trigger that is only tried, in the columns of `triggers`: a row of the table that nobody has stored.
-- $1 its columns
select t.id, t.code, t.name, t.active, t.sequence, t.model, t.trigger_type, t.state_field, t.state_from, t.state_to, t.field_to_watch,
       t.field_change, t.condition_domain
from jsonb_populate_record(null::sicantik_notify.trigger, $1::jsonb) t
