-- Messages of one rule in one evaluation batch; a message for the same change, rule and number that still waits is not
-- repeated. Returns what was enqueued.
-- $1 rule, $2 trigger, $3 priority, $4 delay in minutes, $5… one array a column
insert into sicantik_notify.queue (ready, priority, scheduled_at, rule_id, trigger_id, template_key, event_id, xact, model, record_id,
                                   partner_id, partner_name, phone, context, changed_at)
select $4::integer = 0, $3::integer, sicantik_notify.clock() + make_interval(mins => $4::integer), $1::bigint, $2::bigint, $5::text,
       m.event_id, m.xact::xid8, m.model, m.record_id, m.partner_id, m.partner_name, m.phone, m.context, m.changed_at
from unnest($6::bigint[], $7::text[], $8::text[], $9::bigint[], $10::bigint[], $11::text[], $12::text[], $13::jsonb[],
            $14::timestamptz[])
     as m (event_id, xact, model, record_id, partner_id, partner_name, phone, context, changed_at)
on conflict do nothing
returning id, xact::text as xact, model, record_id, phone
