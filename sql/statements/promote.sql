-- Makes due what has become due; parks it instead where its rule is inactive. Index: queue_not_due_idx.
-- statement_timestamp(), since an index cannot be searched with the volatile sicantik_notify.clock(); id = any (array), which keeps
-- to the primary key whatever the statistics say.
-- $1 how many
with due as materialized (
    select w.id
    from sicantik_notify.queue w
    where w.state = 'pending' and not w.ready and w.waiting_for is distinct from 'rule_inactive'
      and w.scheduled_at <= statement_timestamp()
    order by w.scheduled_at
    limit $1::bigint
    for update skip locked
)
update sicantik_notify.queue q
set ready = r.active, waiting_for = case when not r.active then 'rule_inactive' end
from sicantik_notify.rule r
where q.id = any (array(select d.id from due d)) and r.id = q.rule_id
