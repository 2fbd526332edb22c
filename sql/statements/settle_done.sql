-- Moves finished messages from queue to log, in one statement, and only under the claim that finished them.
-- Returns the ids that were moved; an id that is missing was taken over: the settle is stale.
-- $1… one array a column
with mine as materialized (
    -- One probe of the key for each; see attempt_begin.
    select s.*
    from (
        select u.*
        from unnest($1::bigint[], $2::bigint[], $3::text[], $4::bigint[], $5::text[], $6::text[], $7::text[], $8::text[],
                    $9::text[], $10::integer[], $11::boolean[])
             as u (id, token, state, provider_id, provider_type, external_id, code, error, template_key, processing_time_ms, uncertain)
        order by u.id
    ) s
    cross join lateral (select q.state, q.claim_token from sicantik_notify.queue q where q.id = s.id limit 1 for update) q
    where q.claim_token = s.token and q.state = 'processing'
), done as (
    delete from sicantik_notify.queue q
    using mine s
    where q.id = s.id and q.claim_token = s.token
    returning q.*, s.state as final_state, s.provider_id, s.provider_type, s.external_id, s.code, s.error,
              s.template_key as used_template, s.processing_time_ms, s.uncertain
), freed as (
    -- A place within the rate limit that was not used for a call is free at once.
    update sicantik_notify.rate_usage u
    set ended_at = case when d.on_wire is null then '-infinity' else greatest(sicantik_notify.clock(), u.reserved_at) end
    from done d
    where u.message_id = d.id and u.ended_at is null
), counted as (
    insert into sicantik_notify.campaign_delta (campaign_id, outcome, n)
    select d.campaign_id, d.final_state, count(*) from done d where d.campaign_id is not null group by 1, 2
)
insert into sicantik_notify.log (id, state, rule_id, rule_code, trigger_code, event_id, model, record_id, partner_id, partner_name,
    phone, template_key, context, provider_id, provider_type, external_id, code, error, tries, possible_duplicate, changed_at,
    created_at, sent_at, processing_time_ms, retry_of, campaign_id)
select d.id, d.final_state, d.rule_id, r.code, t.code, d.event_id, d.model, d.record_id, d.partner_id, d.partner_name,
       d.phone, coalesce(d.used_template, d.template_key), d.context, d.provider_id, d.provider_type, d.external_id, d.code, d.error,
       d.tries, d.possible_duplicate or d.uncertain, d.changed_at, d.created_at,
       case when d.final_state = 'sent' then sicantik_notify.clock() end, d.processing_time_ms, d.retry_of,
       d.campaign_id
from done d
left join sicantik_notify.rule r on r.id = d.rule_id
left join sicantik_notify.trigger t on t.id = d.trigger_id
returning id
