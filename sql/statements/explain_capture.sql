-- What stands in the way of capturing changes of a model: hooks that are not as they should be, and misses.
-- $1 model, $2 its table
select 'hook' as kind, f.finding as said, f.remedy
from sicantik_notify.hook_findings() f
where f.model = $1::text or f.model is null and f.severity = 'alarm'
union all
select 'misses', p.summary, p.remedy
from sicantik_notify.problem p
where p.key in ('capture misses', 'hook gap of ' || $2::text)
