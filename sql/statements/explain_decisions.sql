-- What became of the changes of a record, newest first.
-- $1 model, $2 record, $3 how many. Index: decision_record_idx.
select d.id, d.decided_at, d.outcome, d.event_id, d.xact::text as xact, d.trigger_code, d.rule_code, d.partner_id, d.message_id,
       d.reason, c.id || ' (' || c.name || ')' as campaign
from sicantik_notify.decision d
left join sicantik_notify.campaign c on c.id = d.campaign_id
where d.model = $1::text and d.record_id = $2::bigint
order by d.id desc
limit $3::bigint
