-- v_log: every finished message (SICANTIK guide §8.2), as its receipts leave it: what a provider took and gave up afterwards is failed.
--
-- Made so that a question about some of ten million messages reads some: the first two branches are plain scans of log, whose columns
-- and order the indexes of log serve; what was given up leaves them and comes from receipt_given_up. Each branch stands there twice, once
-- for whoever sees numbers whole, so that a number can be looked up by its index too; the other one is never begun.
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
           l.changed_at, l.created_at, l.retry_of, l.campaign_id, true as plain
    from sicantik_notify.log l
    union all
    select l.finished_at, l.id, l.state, l.rule_code as rule, l.trigger_code as trigger, l.model, l.record_id,
           l.partner_id, l.partner_name, sicantik_notify.masked_phone(l.phone) as phone, l.template_key, l.provider_type,
           l.external_id, l.sent_at, l.code, l.error, l.tries, l.possible_duplicate, l.processing_time_ms,
           l.changed_at, l.created_at, l.retry_of, l.campaign_id, false as plain
    from sicantik_notify.log l
    union all
    select * from (
        select l.finished_at, l.id, 'failed', l.rule_code, l.trigger_code, l.model, l.record_id,
               l.partner_id, l.partner_name, l.phone, l.template_key, l.provider_type,
               l.external_id, l.sent_at, coalesce(g.code, l.code), coalesce(g.error, l.error), l.tries, l.possible_duplicate,
               l.processing_time_ms, l.changed_at, l.created_at, l.retry_of, l.campaign_id, true
        from sicantik_notify.receipt_given_up g
        join sicantik_notify.log l on l.id = g.message_id and l.finished_at = g.message_at
        where l.state = 'sent'
        order by g.message_at desc
    ) given_up
    union all
    select * from (
        select l.finished_at, l.id, 'failed', l.rule_code, l.trigger_code, l.model, l.record_id,
               l.partner_id, l.partner_name, sicantik_notify.masked_phone(l.phone), l.template_key, l.provider_type,
               l.external_id, l.sent_at, coalesce(g.code, l.code), coalesce(g.error, l.error), l.tries, l.possible_duplicate,
               l.processing_time_ms, l.changed_at, l.created_at, l.retry_of, l.campaign_id, false
        from sicantik_notify.receipt_given_up g
        join sicantik_notify.log l on l.id = g.message_id and l.finished_at = g.message_at
        where l.state = 'sent'
        order by g.message_at desc
    ) given_up_masked
) u
where u.plain = sicantik_notify.sees_phones()
  and (u.state <> 'sent' -- a scalar, which is asked row by row: as a set it would be made whole for the newest ten rows too
       or (select true from sicantik_notify.receipt_given_up g where g.message_id = u.id limit 1) is null);
comment on view sicantik_notify.v_log is 'Log: every finished message, with provider, times and error';
