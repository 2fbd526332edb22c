-- v_log: every finished message (SICANTIK guide §8.2), as its receipts leave it: what a provider took and gave up afterwards is failed.
create view sicantik_notify.v_log as
select l.finished_at, l.id, case when l.state = 'sent' and rf.state = 'failed' then 'failed' else l.state end as state, l.rule_code as rule, l.trigger_code as trigger, l.model, l.record_id,
       l.partner_id, l.partner_name, sicantik_notify.show_phone(l.phone) as phone, l.template_key, l.provider_type,
       l.external_id, l.sent_at,
       case when rf.state = 'failed' then coalesce(rf.code, l.code) else l.code end as code,
       case when rf.state = 'failed' then coalesce(rf.error, l.error) else l.error end as error,
       l.tries, l.possible_duplicate, l.processing_time_ms,
       l.changed_at, l.created_at, l.retry_of, l.campaign_id, rf.state as receipt_state, rf.at as receipt_at
from sicantik_notify.log l
left join lateral (
    select r.state, r.at, r.code, r.error from sicantik_notify.receipt r
    where r.message_id = l.id order by r.rank > 2 desc, r.attempt_id desc, r.rank desc limit 1) rf on true;
comment on view sicantik_notify.v_log is 'Log: every finished message, with provider, times and error';
