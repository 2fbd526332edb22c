-- Keeps the events of changes whose evaluation failed, for one rule or as a whole. Tried again after 10 s, 1 min and
-- 10 min, then a person must act.
-- $1 event ids of each change (json arrays), $2 trigger, $3 rule, $4 error, $5 tries so far
insert into sicantik_notify.event_set_aside (next_try_at, tries, model, record_id, target_trigger, target_rule, error, events)
select case s.tries
           when 0 then sicantik_notify.clock() + interval '10 seconds'
           when 1 then sicantik_notify.clock() + interval '1 minute'
           when 2 then sicantik_notify.clock() + interval '10 minutes'
       end,
       s.tries + 1, first.model, first.record_id, s.trigger_id, s.rule_id, s.error, e.events
from unnest($1::jsonb[], $2::bigint[], $3::bigint[], $4::text[], $5::smallint[]) as s (ids, trigger_id, rule_id, error, tries)
cross join lateral (
    select jsonb_agg(to_jsonb(v.*) order by v.id) as events, min(v.id) as first_id
    from sicantik_notify.event v
    where v.id in (select i::bigint from jsonb_array_elements_text(s.ids) i)
) e
join sicantik_notify.event first on first.id = e.first_id
