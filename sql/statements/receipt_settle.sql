-- Settles messages whose answer was lost by what their receipts tell, whenever these came. One that was sent, by any of its
-- attempts, ends as sent. One all of whose lost attempts failed is certain not to have been sent: as the failure table says it goes back
-- for another provider, waits for its next try, or ends as failed. What is claimed is left alone: attempt_begin does not let it out
-- again once its receipt is there, and then it comes back here.
-- Index: queue_uncertain_idx, receipt_message_id_idx. Returns what was done with each.
with told as materialized (
    select q.id, q.tries, r.active, r.code as rule_code, r.max_retries, r.retry_delay,
           q.created_at > sicantik_notify.clock()
               - make_interval(hours => coalesce((select s.value::integer from sicantik_notify.setting s
                                         where s.key = 'failed_receipt_retry_hours' and s.value ~ '^[0-9]{1,6}$'), 24))
               as timely,
           good.attempt_id is not null as good, t.attempt_id, t.provider_id, t.provider_type, t.external_id, t.at, t.code, t.error, t.consequence,
           t.pause_seconds
    from sicantik_notify.queue q
    join sicantik_notify.rule r on r.id = q.rule_id
    left join lateral (
        select f.attempt_id
        from sicantik_notify.receipt f
        where f.message_id = q.id and f.state <> 'failed'
        order by f.attempt_id desc
        limit 1
    ) good on true
    left join lateral (
        select f.attempt_id
        from sicantik_notify.receipt f
        join sicantik_notify.attempt a on a.id = f.attempt_id and a.message_id = q.id and a.outcome = 'uncertain'
        where f.message_id = q.id and f.state = 'failed'
          and not exists (select from sicantik_notify.attempt u
                          where u.message_id = q.id and coalesce(u.outcome, 'uncertain') = 'uncertain'
                            and not exists (select from sicantik_notify.receipt x where x.attempt_id = u.id and x.state = 'failed'))
        order by f.attempt_id desc
        limit 1
    ) bad on good.attempt_id is null
    join lateral (
        select f.*
        from sicantik_notify.receipt f
        where f.attempt_id = coalesce(good.attempt_id, bad.attempt_id) and (f.state = 'failed') = (good.attempt_id is null)
        order by f.rank
        limit 1
    ) t on true
    where q.uncertain_sends > 0 and q.state in ('pending', 'held')
    order by q.id
    for update of q skip locked
), verdict as materialized (
    select t.*,
           case
               when t.good then 'sent'
               when t.timely and t.consequence = 'next_provider' then 'next_provider'
               when t.timely and t.consequence = 'again' and t.tries < t.max_retries then 'again'
               else 'failed'
           end as verdict
    from told t
), done as (
    delete from sicantik_notify.queue q
    using verdict v
    where q.id = v.id and v.verdict in ('sent', 'failed')
    returning q.*, v.verdict, v.rule_code, v.attempt_id, v.provider_id, v.provider_type, v.external_id, v.at, v.code, v.error
), logged as (
    insert into sicantik_notify.log (id, state, rule_id, rule_code, trigger_code, event_id, model, record_id, partner_id, partner_name,
        phone, template_key, context, provider_id, provider_type, external_id, code, error, tries, possible_duplicate, changed_at,
        created_at, sent_at, retry_of, campaign_id)
    select d.id, d.verdict, d.rule_id, d.rule_code, t.code, d.event_id, d.model, d.record_id, d.partner_id, d.partner_name, d.phone,
           coalesce(a.template_key, d.template_key), d.context, d.provider_id, d.provider_type, d.external_id, d.code,
           case when d.verdict = 'failed' then d.provider_type || ': ' || coalesce(d.code, '') || ': ' || coalesce(d.error, '') end,
           d.tries,
           -- Another attempt may have gone out as well.
           d.verdict = 'sent' and exists (
               select from sicantik_notify.attempt o
               where o.message_id = d.id and o.id <> d.attempt_id and coalesce(o.outcome, 'uncertain') in ('uncertain', 'accepted')
                 and not exists (select from sicantik_notify.receipt x where x.attempt_id = o.id and x.state = 'failed')),
           d.changed_at, d.created_at,
           case when d.verdict = 'sent' then least(greatest(d.at, a.started_at), sicantik_notify.clock()) end, d.retry_of, d.campaign_id
    from done d
    left join sicantik_notify.trigger t on t.id = d.trigger_id
    left join sicantik_notify.attempt a on a.id = d.attempt_id and a.message_id = d.id
), counted as (
    insert into sicantik_notify.campaign_delta (campaign_id, outcome, n)
    select d.campaign_id, d.verdict, count(*) from done d where d.campaign_id is not null group by 1, 2
), back as (
    update sicantik_notify.queue q
    set state = 'pending',
        ready = false,
        waiting_for = case when not v.active then 'rule_inactive' end,
        scheduled_at = sicantik_notify.clock()
            + case when v.verdict = 'again' then coalesce(make_interval(secs => v.pause_seconds), make_interval(mins => v.retry_delay))
                   else interval '0' end,
        tries = q.tries + (v.verdict = 'again')::integer,
        uncertain_sends = 0, possible_duplicate = false, postponed = 0,
        not_through = case when v.verdict = 'next_provider' then array_append(q.not_through, v.provider_id) else q.not_through end,
        last_error = v.provider_type || ': ' || coalesce(v.code, '') || ': ' || coalesce(v.error, '')
    from verdict v
    where q.id = v.id and v.verdict in ('next_provider', 'again')
)
select v.id, v.verdict, v.provider_type, v.code from verdict v
