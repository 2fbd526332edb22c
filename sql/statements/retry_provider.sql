-- Lets the messages that wait for a provider try again at once: the configuration has changed. Index: queue_no_provider_idx.
-- $1 how many
with waiting as materialized (
    select w.id
    from sicantik_notify.queue w
    where w.state = 'pending' and w.waiting_for = 'provider'
    limit $1::bigint
    for update skip locked
)
update sicantik_notify.queue q
set scheduled_at = sicantik_notify.clock(), waiting_for = null, postponed = 0
where q.id = any (array(select w.id from waiting w))
