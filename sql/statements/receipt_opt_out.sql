-- Meta gave messages up because their recipients had stopped promotional ones: kept as if they had told us. Returns how many were new.
-- $1 attempts
select count(*) filter (where sicantik_notify.marketing_choice(m.phone, f.at, true))
from sicantik_notify.receipt f
cross join lateral (
    select l.phone from sicantik_notify.log l where l.id = f.message_id
    union all
    select q.phone from sicantik_notify.queue q where q.id = f.message_id
    limit 1
) m
where f.attempt_id = any ($1::bigint[]) and f.state = 'failed'
