-- Takes messages of inactive rules out of the claim's index, and brings those of active rules back. The rule's trigger does
-- both at once; this catches what was enqueued, settled or parked while the rule was being switched, and is run for some
-- seconds after the configuration has changed only: it may read the whole queue. SKIP LOCKED: it never waits for a claim, another daemon, or the rule's trigger.
-- Index: queue_rule_idx.
-- $1 how many of each rule
with wrong as materialized (
    select w.id, false as active
    from sicantik_notify.rule r
    cross join lateral (
        select q.id
        from sicantik_notify.queue q
        where q.rule_id = r.id and q.state = 'pending' and q.waiting_for is null
        limit $1::bigint
        for update of q skip locked
    ) w
    where not r.active
    union all
    select w.id, true
    from sicantik_notify.rule r
    cross join lateral (
        select q.id
        from sicantik_notify.queue q
        where q.rule_id = r.id and q.state = 'pending' and q.waiting_for = 'rule_inactive'
        limit $1::bigint
        for update of q skip locked
    ) w
    where r.active
)
update sicantik_notify.queue q
set ready = false, waiting_for = case when not w.active then 'rule_inactive' end
from wrong w
where q.id = w.id and q.state = 'pending'
returning q.id
