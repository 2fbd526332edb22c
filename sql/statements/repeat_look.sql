-- Who was told of which record already, and whose mark still stands; one answer a draft, in order. Marks nothing.
-- $1 rule, $2 seconds after which a mark is over (null: never), $3… one array a column. Index: repeat_mark_pkey.
select k.marked_at as told_at, k.message_id as told_by
from unnest($3::text[], $4::bigint[], $5::text[], $6::text[]) with ordinality as d (phone, record_id, model, value, place)
left join lateral (
    select m.marked_at, m.message_id
    from sicantik_notify.repeat_mark m
    where m.rule_id = $1::bigint and m.record_id = d.record_id and m.phone = d.phone and m.model = d.model and m.value = d.value
      and ($2::double precision is null or m.marked_at > sicantik_notify.clock() - make_interval(secs => $2::double precision))
    limit 1
) k on true
order by d.place
