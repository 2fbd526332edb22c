-- Finds the attempts that waiting receipts belong to, moves those receipts to receipt, and returns what was not known before.
-- Our own words in the receipt decide; without them the provider's id of the message, which is known from its answer on. An id that
-- contradicts the recorded answer is not ours: two installations may share an account.
-- A failure waits until its message is settled, since it may have to go out again. What finds nothing is looked for again, each
-- time later, up to once an hour.
-- Index: receipt_inbox_next_try_at_idx, attempt_pkey, attempt_external_id_idx. SKIP LOCKED: several instances may do this.
-- $1 how many
with due as materialized (
    select i.id, i.provider_id, coalesce(al.external_id, i.external_id) as external_id, i.state, i.at, i.received_at, i.tries,
           i.message_id, i.attempt_id, i.class, i.code, i.error, i.consequence, i.pause_seconds
    from sicantik_notify.receipt_inbox i
    left join sicantik_notify.receipt_alias al on al.provider_id = i.provider_id and al.alias = i.external_id
    where i.next_try_at <= (select sicantik_notify.clock())
    order by i.next_try_at, i.id
    limit $1::bigint
    for update of i skip locked
), known as materialized (
    select d.id, a.id as attempt_id, a.message_id, a.provider_type, d.provider_id, d.external_id, d.state, d.at, d.received_at, d.class,
           d.code, d.error, d.consequence, d.pause_seconds
    from due d
    cross join lateral (
        select a.id, a.message_id, a.provider_type, a.outcome
        from sicantik_notify.attempt a
        where a.id = d.attempt_id and a.provider_id = d.provider_id
          -- After a failover the message may have another number here; then only the provider's id tells.
          and (a.message_id = d.message_id or a.external_id = d.external_id)
          and (a.external_id is null or a.external_id = d.external_id)
        union all
        select a.id, a.message_id, a.provider_type, a.outcome
        from sicantik_notify.attempt a
        where d.attempt_id is null and a.external_id = d.external_id and a.provider_id = d.provider_id
        limit 1
    ) a
    where d.state <> 'failed'
       or (a.outcome is not null
           and not exists (select from sicantik_notify.queue q where q.id = a.message_id and q.state = 'processing'))
), fresh as (
    insert into sicantik_notify.receipt (attempt_id, state, message_id, provider_id, provider_type, external_id, at, received_at, class,
                                         code, error, consequence, pause_seconds)
    select k.attempt_id, k.state, k.message_id, k.provider_id, k.provider_type, k.external_id, k.at, k.received_at, k.class, k.code, k.error,
           k.consequence, k.pause_seconds
    from known k
    on conflict do nothing
    returning attempt_id, state, message_id, provider_id, provider_type, at, class, code, error
), gave_up as (
    -- For v_log: what was logged as sent and is failed from now on. In the same batch the better news wins; what arrives later
    -- takes it back, and where two instances do both at once, receipt_given_up knows.
    insert into sicantik_notify.log_given_up (id, finished_at, state, rule_id, rule_code, trigger_code, event_id, model, record_id,
        partner_id, partner_name, phone, template_key, context, provider_id, provider_type, external_id, code, error, tries,
        possible_duplicate, changed_at, created_at, sent_at, processing_time_ms, retry_of, campaign_id)
    select l.id, l.finished_at, 'failed', l.rule_id, l.rule_code, l.trigger_code, l.event_id, l.model, l.record_id,
           l.partner_id, l.partner_name, l.phone, l.template_key, l.context, l.provider_id, l.provider_type, l.external_id,
           coalesce(f.code, l.code), coalesce(f.error, l.error), l.tries, l.possible_duplicate, l.changed_at, l.created_at, l.sent_at,
           l.processing_time_ms, l.retry_of, l.campaign_id
    from fresh f
    join sicantik_notify.log l on l.id = f.message_id and l.state = 'sent'
    where f.state = 'failed'
      and not exists (select from fresh b where b.message_id = l.id and b.state in ('delivered', 'read'))
      and not exists (select from sicantik_notify.receipt x where x.message_id = l.id and x.state in ('delivered', 'read'))
      and not exists (select from sicantik_notify.attempt a where a.message_id = l.id and a.id > f.attempt_id)
    on conflict do nothing
), arrived as (
    delete from sicantik_notify.log_given_up g using fresh f where g.id = f.message_id and f.state in ('delivered', 'read')
), late as materialized (
    -- A campaign's message that was counted as sent and is given up, or the other way round: what v_log shows of it changes. In the
    -- same batch the better news wins.
    select distinct l.campaign_id, l.id, f.state = 'failed' as failed
    from fresh f
    join sicantik_notify.log l on l.id = f.message_id and l.state = 'sent' and l.campaign_id is not null
    where case f.state
              when 'failed' then
                  not exists (select from fresh b where b.message_id = l.id and b.state in ('delivered', 'read'))
                  and not exists (select from sicantik_notify.receipt x
                                  where x.message_id = l.id and x.state in ('delivered', 'read', 'failed'))
                  and not exists (select from sicantik_notify.attempt a where a.message_id = l.id and a.id > f.attempt_id)
              when 'sent' then false
              else
                  exists (select from sicantik_notify.receipt x where x.message_id = l.id and x.state = 'failed')
                  and not exists (select from sicantik_notify.receipt x where x.message_id = l.id and x.state in ('delivered', 'read'))
                  and not exists (select from sicantik_notify.queue q where q.retry_of = l.id)
                  and not exists (select from sicantik_notify.log r where r.retry_of = l.id)
          end
), counted as (
    insert into sicantik_notify.campaign_delta (campaign_id, outcome, n)
    select l.campaign_id, o.outcome, sum(case when l.failed = (o.outcome = 'failed') then 1 else -1 end)
    from late l
    cross join (values ('sent'), ('failed')) as o (outcome)
    group by 1, 2
), gone as (
    delete from sicantik_notify.receipt_inbox i where i.id = any (array(select k.id from known k))
), again as (
    update sicantik_notify.receipt_inbox i
    set tries = i.tries + 1,
        next_try_at = sicantik_notify.clock() + make_interval(secs => least(3600, 0.25 * 2 ^ least(i.tries, 14)))
    where i.id = any (array(select d.id from due d)) and not i.id = any (array(select k.id from known k))
)
select f.attempt_id, f.state, f.message_id, f.provider_id, f.provider_type, f.at, f.class, f.code, f.error,
       f.at > sicantik_notify.clock() - interval '1 hour' as recent
from fresh f
