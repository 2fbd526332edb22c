-- Makes due what has become due. Index: queue_not_due_idx.
-- statement_timestamp(), since an index cannot be searched with the volatile clock_timestamp().
-- $1 how many
update sicantik_notify.queue q
set ready = true, waiting_for = null
where q.id in (
    select w.id
    from sicantik_notify.queue w
    where w.state = 'pending' and not w.ready and w.waiting_for is distinct from 'rule_inactive'
      and w.scheduled_at <= statement_timestamp()
    order by w.scheduled_at
    limit $1::bigint
    for update skip locked
)
