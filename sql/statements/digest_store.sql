-- Records of a run that become one message a recipient.
-- $1 rule, $2 trigger, $3… one array a column
insert into sicantik_notify.digest (rule_id, trigger_id, xact, phone, event_id, record_id, model, partner_id, partner_name, context,
                                    changed_at)
select $1::bigint, $2::bigint, d.xact::xid8, d.phone, d.event_id, d.record_id, d.model, d.partner_id, d.partner_name, d.context,
       d.changed_at
from unnest($3::text[], $4::text[], $5::bigint[], $6::bigint[], $7::text[], $8::bigint[], $9::text[], $10::jsonb[],
            $11::timestamptz[])
     as d (xact, phone, event_id, record_id, model, partner_id, partner_name, context, changed_at)
