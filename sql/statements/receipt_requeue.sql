-- A message that its provider took and gave up afterwards goes out once more, as a new message with retry_of, where the failure table
-- says so, it is still timely, and nothing tells that it arrived. Its log row stays. A retry is not retried again.
-- A message of a campaign that was cancelled is not repeated; of one that goes out again the campaign counts the new end.
-- The log has the template that was sent; where that is the provider's form of the rule's template, the rule's is the one to ask for.
-- $1 attempts whose failure was not known before
with again as (
insert into sicantik_notify.queue (waiting_for, priority, scheduled_at, rule_id, trigger_id, event_id, model, record_id, partner_id,
                                   partner_name, phone, template_key, context, tries, possible_duplicate, last_error, changed_at, retry_of,
                                   not_through, campaign_id)
select case when not ru.active then 'rule_inactive' end,
       ru.priority,
       sicantik_notify.clock()
           + case when f.consequence = 'again' then coalesce(make_interval(secs => f.pause_seconds), make_interval(mins => ru.retry_delay))
                  else interval '0' end,
       l.rule_id, t.id, l.event_id, l.model, l.record_id, l.partner_id, l.partner_name, l.phone,
       case when l.template_key in ('meta_' || ru.template_key, 'izin_' || ru.template_key, m.meta_key) then ru.template_key
            else l.template_key end,
       l.context, l.tries + (f.consequence = 'again')::integer, l.possible_duplicate,
       f.provider_type || ': ' || coalesce(f.code, '') || ': ' || coalesce(f.error, ''), l.changed_at, l.id,
       case when f.consequence = 'next_provider' then array[f.provider_id] else '{}' end, l.campaign_id
from sicantik_notify.receipt f
join sicantik_notify.log l on l.id = f.message_id
join sicantik_notify.rule ru on ru.id = l.rule_id
left join sicantik_notify.trigger t on t.code = l.trigger_code
left join sicantik_notify.template_map m on m.template_key = ru.template_key
left join sicantik_notify.campaign ca on ca.id = l.campaign_id
where f.attempt_id = any ($1::bigint[]) and f.state = 'failed' and l.state = 'sent'
  and (f.consequence = 'next_provider' or (f.consequence = 'again' and l.tries < ru.max_retries))
  and l.created_at > sicantik_notify.clock()
      - make_interval(hours => coalesce((select s.value::integer from sicantik_notify.setting s
                                         where s.key = 'failed_receipt_retry_hours' and s.value ~ '^[0-9]{1,6}$'), 24))
  and not exists (select from sicantik_notify.attempt a where a.message_id = l.id and a.id > f.attempt_id)
  and not exists (select from sicantik_notify.receipt x where x.message_id = l.id and x.state in ('delivered', 'read'))
  and not exists (select from sicantik_notify.receipt x where x.message_id = l.retry_of and x.state = 'failed')
  and not exists (select from sicantik_notify.queue q where q.retry_of = l.id)
  and not exists (select from sicantik_notify.log x where x.retry_of = l.id)
  -- An answer to somebody is worth nothing from another number.
  and ru.code <> 'system_stop_confirmation'
  and ca.state is distinct from 'cancelled'
on conflict do nothing
returning id, retry_of, campaign_id
), counted as (
    insert into sicantik_notify.campaign_delta (campaign_id, outcome, n)
    select a.campaign_id, 'failed', -count(*) from again a where a.campaign_id is not null group by 1
)
select a.id, a.retry_of from again a
