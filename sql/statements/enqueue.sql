-- Messages of one rule in one evaluation batch; a message for the same change, rule and number that still waits is not
-- repeated. Returns what was enqueued, with its place among the arrays.
-- The rule's row says the rest: batches get their slots, what the storm guard stops is held, and what is outside of the rule's hours or
-- over its rate limit never enters the claim's index. What a person must release takes no place anywhere before it is released.
-- $1 rule, $2 trigger, $3 priority, $4 delay in minutes, $5 template, $6… one array a column; $6 ids where they are known, $16 why a
-- person must release it; $17 batch series, $18 no storm guard, $19 campaign
with incoming as materialized (
    select coalesce(m.id, nextval('sicantik_notify.message_id_seq')) as id, m.place, m.event_id, m.xact::xid8 as xact, m.model,
           m.record_id, m.partner_id, m.partner_name, m.phone, m.changed_at, m.held as why
    from unnest($6::bigint[], $7::bigint[], $8::text[], $9::text[], $10::bigint[], $11::bigint[], $12::text[], $13::text[],
                $15::timestamptz[], $16::text[]) with ordinality
         as m (id, event_id, xact, model, record_id, partner_id, partner_name, phone, changed_at, held, place)
    -- Not exists: a probe of queue_source_idx for each, whatever the statistics say.
    where (select true from sicantik_notify.queue q
           where q.xact = m.xact::xid8 and q.record_id = m.record_id and q.rule_id = $1::bigint and q.phone = m.phone
             and q.model = m.model
           limit 1) is null
), admitted as materialized (
    select case when $18::boolean then n.messages else sicantik_notify.storm_admit($1::bigint, n.messages) end as messages
    from (select count(*)::integer as messages from incoming i where i.why is null) n
), terms as materialized (
    select r.schedule_type, r.batch_size, r.batch_interval, r.send_window, t.timezone, b.slot_at, b.taken,
           sicantik_notify.clock() as now, sicantik_notify.rate_room(r.id) as room
    from sicantik_notify.rule r
    cross join admitted a
    left join sicantik_notify.trigger t on t.code = r.trigger
    -- Strict: a condition beside it would be asked after the call, which locks the series.
    left join lateral sicantik_notify.batch_take(case when r.schedule_type = 'batch' then r.id end, $17::text, a.messages) b on true
    where r.id = $1::bigint
), timed as materialized (
    select m.*, t.now, t.room, t.schedule_type, m.why is not null or m.number > a.messages as held, o.at,
           case when o.at <= t.now then sicantik_notify.window_opens(t.send_window, t.timezone, t.now) end as opens
    from (select i.*, row_number() over (partition by i.why is null order by i.place) as number from incoming i) m
    cross join admitted a
    cross join terms t
    cross join lateral (
        select case when t.schedule_type = 'batch' and m.why is null and m.number <= a.messages
                    then greatest(t.now, t.slot_at + (t.taken + m.number - 1) / t.batch_size * make_interval(mins => t.batch_interval))
                    else t.now + make_interval(mins => $4::integer) end as at
    ) o
), placed as materialized (
    select t.*,
           case when t.why is not null then null
                when t.held then 'storm_guard'
                when t.at > t.now then case when t.schedule_type = 'batch' then 'batch' end
                when t.opens > t.now then 'quiet_hours'
                when row_number() over (partition by not t.held and t.at <= t.now and t.opens <= t.now order by t.place) > t.room
                    then 'rate_limit'
           end as waits
    from timed t
), enqueued as (
    insert into sicantik_notify.queue (id, state, ready, waiting_for, priority, scheduled_at, rule_id, trigger_id, template_key, event_id,
                                       xact, model, record_id, partner_id, partner_name, phone, context, changed_at, last_error, campaign_id)
    select p.id, case when p.held then 'held' else 'pending' end, not p.held and p.at <= p.now and p.waits is null, p.waits, $3::integer,
           case when p.waits = 'quiet_hours' then p.opens else p.at end, $1::bigint, $2::bigint, $5::text,
           -- From the array itself: the values are the largest part, and each step above would copy them.
           p.event_id, p.xact, p.model, p.record_id, p.partner_id, p.partner_name, p.phone, ($14::jsonb[])[p.place], p.changed_at,
           coalesce(p.why, case when p.held then 'storm guard: its rule enqueued more than storm_limit messages in ten minutes' end),
           $19::bigint
    from placed p
    order by p.place
    on conflict do nothing
    returning id
)
-- A hashed subplan: joined, the plan that serves all arrays would compare each with each.
select p.place, p.id from placed p where (p.id in (select e.id from enqueued e)) is true
