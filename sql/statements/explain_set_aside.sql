-- Events of a record that could not be evaluated.
-- $1 model, $2 record. Index: event_set_aside_record_idx.
select s.set_aside_at, s.next_try_at, s.tries, s.error, s.events -> 0 ->> 'xact' as xact, s.events, t.code as trigger_code,
       r.code as rule_code
from sicantik_notify.event_set_aside s
left join sicantik_notify.trigger t on t.id = s.target_trigger
left join sicantik_notify.rule r on r.id = s.target_rule
where s.model = $1::text and s.record_id = $2::bigint
order by s.id
