-- v_log: every finished message (SICANTIK guide §8.2), as its receipts leave it: what a provider took and gave up afterwards is failed.
--
-- Made so that a question about some of ten million messages reads some: each branch is a plain scan of one table without a
-- condition, which the planner looks through, so that conditions and order reach the indexes. What was given up is left out of log and
-- comes from log_given_up. Each branch stands there twice, once for whoever sees numbers whole, so that a number can be looked up by its
-- index too; the other one is never begun.
create view sicantik_notify.v_log as
select u.finished_at, u.id, u.state, u.rule, u.trigger, u.model, u.record_id, u.partner_id, u.partner_name, u.phone, u.template_key,
       u.provider_type, u.external_id, u.sent_at, u.code, u.error, u.tries, u.possible_duplicate, u.processing_time_ms, u.changed_at,
       u.created_at, u.retry_of, u.campaign_id,
       (select r.state from sicantik_notify.receipt r where r.message_id = u.id
        order by r.rank > 2 desc, r.attempt_id desc, r.rank desc limit 1) as receipt_state,
       (select r.at from sicantik_notify.receipt r where r.message_id = u.id
        order by r.rank > 2 desc, r.attempt_id desc, r.rank desc limit 1) as receipt_at
from (
    select l.finished_at, l.id, l.state, l.rule_code as rule, l.trigger_code as trigger, l.model, l.record_id,
           l.partner_id, l.partner_name, l.phone as phone, l.template_key, l.provider_type,
           l.external_id, l.sent_at, l.code, l.error, l.tries, l.possible_duplicate, l.processing_time_ms,
           l.changed_at, l.created_at, l.retry_of, l.campaign_id, true as plain, false as given_up
    from sicantik_notify.log l
    union all
    select l.finished_at, l.id, l.state, l.rule_code as rule, l.trigger_code as trigger, l.model, l.record_id,
           l.partner_id, l.partner_name, sicantik_notify.masked_phone(l.phone) as phone, l.template_key, l.provider_type,
           l.external_id, l.sent_at, l.code, l.error, l.tries, l.possible_duplicate, l.processing_time_ms,
           l.changed_at, l.created_at, l.retry_of, l.campaign_id, false as plain, false as given_up
    from sicantik_notify.log l
    union all
    select l.finished_at, l.id, 'failed' as state, l.rule_code as rule, l.trigger_code as trigger, l.model, l.record_id,
           l.partner_id, l.partner_name, l.phone as phone, l.template_key, l.provider_type,
           l.external_id, l.sent_at, l.code, l.error, l.tries, l.possible_duplicate, l.processing_time_ms,
           l.changed_at, l.created_at, l.retry_of, l.campaign_id, true as plain, true as given_up
    from sicantik_notify.log_given_up l
    union all
    select l.finished_at, l.id, 'failed' as state, l.rule_code as rule, l.trigger_code as trigger, l.model, l.record_id,
           l.partner_id, l.partner_name, sicantik_notify.masked_phone(l.phone) as phone, l.template_key, l.provider_type,
           l.external_id, l.sent_at, l.code, l.error, l.tries, l.possible_duplicate, l.processing_time_ms,
           l.changed_at, l.created_at, l.retry_of, l.campaign_id, false as plain, true as given_up
    from sicantik_notify.log_given_up l
) u
where u.plain = sicantik_notify.sees_phones()
  and (u.state <> 'sent' or not sicantik_notify.was_given_up(u.id))
  and (not u.given_up or sicantik_notify.was_given_up(u.id));
comment on view sicantik_notify.v_log is 'Log: every finished message, with provider, times and error';
