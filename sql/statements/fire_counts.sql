-- What became of a run, counted by rule and outcome.
-- $1 first event, $2 last event, $3 run. Index: decision_event_idx.
select coalesce(d.rule_code, '') as rule, d.outcome, count(*) as times
from sicantik_notify.decision d
where d.event_id between $1::bigint and $2::bigint and d.xact = ($3::text)::xid8
group by 1, 2
order by 1, 2
