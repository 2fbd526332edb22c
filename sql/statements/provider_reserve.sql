-- Reserves turns at providers, over all instances: a message each `gap` seconds, and at most `burst` seconds' worth at once.
-- Returns for each how many turns there are now, and in how many seconds the next one comes. A provider without a row in
-- provider_health is missing in the answer.
-- $1 providers, $2 messages that wait, $3 gaps, $4 bursts, in seconds
with wanted as materialized (
    select w.provider_id, w.messages, make_interval(secs => w.gap) as gap, w.gap as gap_seconds, w.burst
    from unnest($1::bigint[], $2::integer[], $3::double precision[], $4::double precision[])
         as w (provider_id, messages, gap, burst)
), locked as materialized (
    select h.provider_id, h.next_send_at
    from sicantik_notify.provider_health h
    where h.provider_id = any ($1::bigint[])
    order by h.provider_id
    for update
), clocked as materialized (
    select l.provider_id, l.next_send_at, sicantik_notify.clock() as now from locked l
), granted as materialized (
    select c.provider_id, c.now, w.gap, c.next_send_at,
           greatest(c.next_send_at, c.now - make_interval(secs => w.burst)) as first,
           case
               when w.gap_seconds > 0 then
                   least(w.messages, greatest(0, 1 + floor(extract(epoch from
                       c.now - greatest(c.next_send_at, c.now - make_interval(secs => w.burst))) / w.gap_seconds)::integer))
               when c.next_send_at > c.now then 0
               else w.messages
           end as turns
    from clocked c
    join wanted w on w.provider_id = c.provider_id
), taken as (
    update sicantik_notify.provider_health h
    set next_send_at = g.first + g.turns * g.gap
    from granted g
    where h.provider_id = g.provider_id and g.turns > 0 and g.gap > interval '0'
)
select g.provider_id, g.turns,
       greatest(extract(epoch from case when g.gap > interval '0' then g.first + g.turns * g.gap else g.next_send_at end - g.now),
                0)::double precision as seconds
from granted g
