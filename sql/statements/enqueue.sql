-- Messages of one rule in one evaluation batch; a message for the same change, rule and number that still waits is not
-- repeated. Returns what was enqueued, with its place among the arrays.
-- $1 rule, $2 trigger, $3 priority, $4 delay in minutes, $5 template, $6… one array a column; $6 ids where they are known, $16 why a
-- person must release it
with wanted as materialized (
    select coalesce(m.id, nextval('sicantik_notify.message_id_seq')) as id, m.place, m.event_id, m.xact::xid8 as xact, m.model,
           m.record_id, m.partner_id, m.partner_name, m.phone, m.context, m.changed_at, m.held
    from unnest($6::bigint[], $7::bigint[], $8::text[], $9::text[], $10::bigint[], $11::bigint[], $12::text[], $13::text[],
                $14::jsonb[], $15::timestamptz[], $16::text[]) with ordinality
         as m (id, event_id, xact, model, record_id, partner_id, partner_name, phone, context, changed_at, held, place)
), enqueued as (
    insert into sicantik_notify.queue (id, state, ready, priority, scheduled_at, rule_id, trigger_id, template_key, event_id, xact,
                                       model, record_id, partner_id, partner_name, phone, context, changed_at, last_error)
    select w.id, case when w.held is null then 'pending' else 'held' end, w.held is null and $4::integer = 0, $3::integer,
           sicantik_notify.clock() + make_interval(mins => $4::integer), $1::bigint, $2::bigint, $5::text, w.event_id, w.xact,
           w.model, w.record_id, w.partner_id, w.partner_name, w.phone, w.context, w.changed_at, w.held
    from wanted w
    order by w.place
    on conflict do nothing
    returning id
)
select w.place, w.id
from enqueued e
join wanted w on w.id = e.id
