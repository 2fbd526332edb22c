-- Lost sends whose message stands in queue, by its own id or, where its change was evaluated again, by its source: the attempt is
-- written, and the message settled. What the provider accepted is sent; what had no answer is uncertain, as if its answer had been lost
-- today. What is claimed is left alone, unless by the very claim of the lost send, which nobody holds any more; the claim passes by
-- what stands here. The caller holds the row of timeline, so that one does this at a time.
-- Index: lost_send_message_id_idx, queue_pkey, queue_source_idx. Returns each message with what became of it.
with found as materialized (
    select l.attempt_id, l.started_at, q.id
    from sicantik_notify.lost_send l
    cross join lateral (
        select q.id, q.state, q.claim_token
        from sicantik_notify.queue q
        where q.id = l.message_id and q.created_at = l.message_created_at
        union
        select q.id, q.state, q.claim_token
        from sicantik_notify.queue q
        where q.xact = l.xact and q.record_id = l.record_id and q.rule_id = l.rule_id and q.phone = l.phone and q.model = l.model
          and q.changed_at = l.changed_at
    ) q
    where l.settled_at is null and (q.state <> 'processing' or q.claim_token = l.claim_token)
), locked as materialized (
    select q.id
    from sicantik_notify.queue q
    where q.id = any (array(select f.id from found f))
      and (q.state <> 'processing' or (q.id, q.claim_token) in (
            select f.id, l.claim_token
            from found f
            join sicantik_notify.lost_send l on l.attempt_id = f.attempt_id and l.started_at = f.started_at))
    order by q.id
    for update of q skip locked
), mine as materialized (
    select f.id, l.attempt_id, l.started_at, l.claim_token, l.instance_id, l.provider_id, l.provider_type, l.template_key, l.outcome,
           l.ended_at, l.http_status, l.external_id, l.error, l.note, l.duration_ms
    from found f
    join locked k on k.id = f.id
    join sicantik_notify.lost_send l on l.attempt_id = f.attempt_id and l.started_at = f.started_at
), noted as (
    insert into sicantik_notify.attempt as a (id, started_at, message_id, claim_token, instance_id, provider_id, provider_type, template_key,
        finished_at, outcome, http_status, external_id, error, note, duration_ms)
    select m.attempt_id, m.started_at, m.id, m.claim_token, m.instance_id, m.provider_id, m.provider_type, m.template_key, m.ended_at,
           m.outcome, m.http_status, m.external_id, m.error,
           concat_ws('; ', nullif(m.note, ''), 'from the daemon''s memory: its record was lost in a failover'), m.duration_ms
    from mine m
    on conflict (id, started_at) do update
    set finished_at = excluded.finished_at, outcome = excluded.outcome, http_status = excluded.http_status,
        external_id = excluded.external_id, error = excluded.error, note = excluded.note, duration_ms = excluded.duration_ms
    where a.outcome is distinct from 'accepted'
), whole as materialized (
    select m.id, count(*) filter (where m.outcome = 'uncertain')::integer as uncertain,
           max(m.attempt_id) filter (where m.outcome = 'accepted') as accepted, max(m.attempt_id) as last
    from mine m
    group by m.id
), done as (
    delete from sicantik_notify.queue q
    using whole w
    where q.id = w.id and w.accepted is not null
    returning q.*, w.accepted, w.uncertain
), logged as (
    insert into sicantik_notify.log (id, state, rule_id, rule_code, trigger_code, event_id, model, record_id, partner_id, partner_name,
        phone, template_key, context, provider_id, provider_type, external_id, tries, possible_duplicate, changed_at, created_at, sent_at,
        processing_time_ms, retry_of)
    select d.id, 'sent', d.rule_id, r.code, t.code, d.event_id, d.model, d.record_id, d.partner_id, d.partner_name, d.phone,
           m.template_key, d.context, m.provider_id, m.provider_type, m.external_id, d.tries, d.possible_duplicate or d.uncertain > 0,
           d.changed_at, d.created_at, m.ended_at, m.duration_ms, d.retry_of
    from done d
    join mine m on m.id = d.id and m.attempt_id = d.accepted
    left join sicantik_notify.rule r on r.id = d.rule_id
    left join sicantik_notify.trigger t on t.id = d.trigger_id
), doubted as (
    update sicantik_notify.queue q
    set state = case when p.on_uncertain = 'hold' or q.uncertain_sends + w.uncertain > 1 then 'held' else 'pending' end,
        ready = false, waiting_for = null,
        scheduled_at = sicantik_notify.clock() + coalesce(p.uncertain_wait, interval '5 minutes'),
        uncertain_sends = q.uncertain_sends + w.uncertain, possible_duplicate = true, postponed = 0, fallback = false,
        last_error = 'it was sent shortly before the database moved to another server, and no answer is known',
        claimed_by = null, lease_until = null, on_wire = null
    from whole w
    join mine m on m.id = w.id and m.attempt_id = w.last
    left join sicantik_notify.provider p on p.id = m.provider_id
    where q.id = w.id and w.accepted is null
), settled as (
    update sicantik_notify.lost_send l
    set settled_at = sicantik_notify.clock()
    from mine m
    where l.attempt_id = m.attempt_id and l.started_at = m.started_at
)
select w.id, w.accepted is not null as sent from whole w
