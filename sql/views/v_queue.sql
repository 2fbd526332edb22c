-- v_queue: every message, waiting or finished, with the guide's states (SICANTIK guide §8.1). Made as v_log is, with the queue beside it:
-- what stands in other tables is looked up for the rows that are shown, and only where its column is asked for. What holds for one branch
-- only depends on a constant of the others, so that the planner drops it there.
create view sicantik_notify.v_queue as
select u.id, u.state, u.rule, u.trigger, u.model, u.record_id, u.partner_id, u.partner_name, u.phone, u.template_key, u.priority,
       u.scheduled_at, u.tries, u.waiting_for, u.possible_duplicate, u.error, u.provider_type, u.external_id, u.changed_at, u.created_at,
       u.finished_at, u.retry_of, u.campaign_id
from (
    select q.id, q.state, sicantik_notify.rule_code(q.rule_id) as rule,
           (select t.code from sicantik_notify.trigger t where t.id = q.trigger_id) as trigger, q.model, q.record_id, q.partner_id,
           q.partner_name, q.phone as phone, q.template_key, q.priority, q.scheduled_at, q.tries,
           (select w.waiting_for from sicantik_notify.queue_waits w where w.id = q.id) as waiting_for,
           q.possible_duplicate, q.last_error as error, null::text as provider_type, null::text as external_id,
           q.changed_at, q.created_at, null::timestamptz as finished_at, q.retry_of, q.campaign_id, true as plain,
           false as given_up, false as logged
    from sicantik_notify.queue q
    union all
    select q.id, q.state, sicantik_notify.rule_code(q.rule_id) as rule,
           (select t.code from sicantik_notify.trigger t where t.id = q.trigger_id) as trigger, q.model, q.record_id, q.partner_id,
           q.partner_name, sicantik_notify.masked_phone(q.phone) as phone, q.template_key, q.priority, q.scheduled_at, q.tries,
           (select w.waiting_for from sicantik_notify.queue_waits w where w.id = q.id) as waiting_for,
           q.possible_duplicate, q.last_error as error, null::text as provider_type, null::text as external_id,
           q.changed_at, q.created_at, null::timestamptz as finished_at, q.retry_of, q.campaign_id, false as plain,
           false as given_up, false as logged
    from sicantik_notify.queue q
    union all
    select l.id, l.state, l.rule_code, l.trigger_code, l.model, l.record_id, l.partner_id, l.partner_name, l.phone,
           l.template_key, null, null, l.tries, null, l.possible_duplicate, l.error, l.provider_type,
           l.external_id, l.changed_at, l.created_at, l.finished_at, l.retry_of, l.campaign_id, true, false, true
    from sicantik_notify.log l
    union all
    select l.id, l.state, l.rule_code, l.trigger_code, l.model, l.record_id, l.partner_id, l.partner_name,
           sicantik_notify.masked_phone(l.phone), l.template_key, null, null, l.tries, null, l.possible_duplicate, l.error, l.provider_type,
           l.external_id, l.changed_at, l.created_at, l.finished_at, l.retry_of, l.campaign_id, false, false, true
    from sicantik_notify.log l
    union all
    select l.id, 'failed', l.rule_code, l.trigger_code, l.model, l.record_id, l.partner_id, l.partner_name, l.phone,
           l.template_key, null, null, l.tries, null, l.possible_duplicate, l.error, l.provider_type,
           l.external_id, l.changed_at, l.created_at, l.finished_at, l.retry_of, l.campaign_id, true, true, true
    from sicantik_notify.log_given_up l
    union all
    select l.id, 'failed', l.rule_code, l.trigger_code, l.model, l.record_id, l.partner_id, l.partner_name,
           sicantik_notify.masked_phone(l.phone), l.template_key, null, null, l.tries, null, l.possible_duplicate, l.error, l.provider_type,
           l.external_id, l.changed_at, l.created_at, l.finished_at, l.retry_of, l.campaign_id, false, true, true
    from sicantik_notify.log_given_up l
) u
where u.plain = sicantik_notify.sees_phones()
  and (not u.logged or u.state <> 'sent' or not sicantik_notify.was_given_up(u.id))
  and (not u.given_up or sicantik_notify.was_given_up(u.id));
comment on view sicantik_notify.v_queue is 'Antrian: every message, waiting or finished; waiting_for says why it waits';
