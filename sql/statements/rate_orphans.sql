-- Places that are taken although nobody works on their message any more (a row that was deleted by hand): free one period from now.
-- Index: rate_usage_open_idx. Claims, settlements and recovery end theirs in the statement that moves the message, so one snapshot
-- shows both or neither.
with lost as materialized (
    select u.message_id
    from sicantik_notify.rate_usage u
    where u.ended_at is null
      and not exists (select from sicantik_notify.queue q where q.id = u.message_id and q.state = 'processing')
    order by u.message_id
    for update skip locked
)
update sicantik_notify.rate_usage u
set ended_at = greatest(sicantik_notify.clock(), u.reserved_at)
where u.ended_at is null and u.message_id = any (array(select l.message_id from lost l))
