-- Marks those who are told now, and says of the others when and by which message they were told. One answer a draft, in order.
-- A change whose message waits in the queue already has its mark: it is left to the queue's own index to refuse it. No draft
-- stands twice in one call, and no other session marks the same records: their shard is locked. Except that of a campaign, which has no
-- events: whoever comes second waits for the first, and is told.
-- $1 rule, $2 seconds after which a mark is over (null: never), $3… one array a column; $8 the draft goes into a digest, so that
-- its message has no id yet
with asked as materialized (
    select d.place, d.phone, d.record_id, d.model, d.value, d.digested,
           exists (
               select from sicantik_notify.queue q
               where q.xact = d.xact::xid8 and q.record_id = d.record_id and q.rule_id = $1::bigint and q.phone = d.phone
                 and q.model = d.model
           ) as waits
    from unnest($3::text[], $4::bigint[], $5::text[], $6::text[], $7::text[], $8::boolean[]) with ordinality
         as d (phone, record_id, model, value, xact, digested, place)
), marked as (
    insert into sicantik_notify.repeat_mark as k (rule_id, phone, record_id, model, value, message_id)
    select $1::bigint, a.phone, a.record_id, a.model, a.value,
           case when not a.digested then nextval('sicantik_notify.message_id_seq') end
    from asked a
    where not a.waits
    on conflict (rule_id, record_id, phone, model, value) do update
    set marked_at = excluded.marked_at, message_id = excluded.message_id
    where k.marked_at <= sicantik_notify.clock() - make_interval(secs => $2::double precision)
    returning k.record_id, k.phone, k.model, k.value, k.message_id
)
select m.record_id is not null as fresh, m.message_id, a.waits, o.marked_at as told_at, o.message_id as told_by
from asked a
left join marked m on (m.record_id, m.phone, m.model, m.value) = (a.record_id, a.phone, a.model, a.value)
left join sicantik_notify.repeat_mark o
    on o.rule_id = $1::bigint and (o.record_id, o.phone, o.model, o.value) = (a.record_id, a.phone, a.model, a.value)
order by a.place
