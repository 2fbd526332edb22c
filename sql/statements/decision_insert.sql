-- Decisions of one evaluation batch.
insert into sicantik_notify.decision (outcome, event_id, xact, model, record_id, trigger_code, rule_code, partner_id, message_id, reason,
                                      campaign_id)
select d.outcome, d.event_id, d.xact::xid8, d.model, d.record_id, d.trigger_code, d.rule_code, d.partner_id, d.message_id, d.reason,
       d.campaign_id
from unnest($1::text[], $2::bigint[], $3::text[], $4::text[], $5::bigint[], $6::text[], $7::text[], $8::bigint[], $9::bigint[],
            $10::text[], $11::bigint[])
     as d (outcome, event_id, xact, model, record_id, trigger_code, rule_code, partner_id, message_id, reason, campaign_id)
