-- What the daemon writes for each message, by bare statements, :batch messages at a time: claim, attempt, settle. Three commits.
with s as (
    select id from sicantik_notify.queue
    where state = 'pending' and ready
    order by priority desc, scheduled_at, id
    for update skip locked
    limit :batch
), u as (
    update sicantik_notify.queue q
    set state = 'processing', ready = false, claim_token = nextval('sicantik_notify.claim_token_seq'), claimed_by = :client_id + 1,
        lease_until = now() + interval '1 minute'
    from s where q.id = s.id
    returning q.id, q.context
)
select coalesce(array_agg(id), '{}')::text as ids, string_agg(context::text, '') as payload from u \gset
with u as (
    update sicantik_notify.queue set on_wire = 1 where id = any (:ids::bigint[]) returning id, claim_token
)
insert into sicantik_notify.attempt (message_id, claim_token, instance_id, provider_id, provider_type, template_key)
select id, claim_token, :client_id + 1, 1, 'fonnte', 'permit_ready' from u;
begin;
update sicantik_notify.attempt
set finished_at = now(), outcome = 'accepted', http_status = 200, external_id = 'raw-' || id, duration_ms = 1
where message_id = any (:ids::bigint[]) and finished_at is null;
with d as (
    delete from sicantik_notify.queue where id = any (:ids::bigint[]) returning *
)
insert into sicantik_notify.log (id, state, rule_id, rule_code, trigger_code, event_id, model, record_id, partner_id, partner_name, phone,
    template_key, context, provider_id, provider_type, external_id, tries, possible_duplicate, changed_at, created_at, sent_at,
    processing_time_ms)
select id, 'sent', rule_id, 'drain', 'by_hand', event_id, model, record_id, partner_id, partner_name, phone, template_key, context, 1,
       'fonnte', 'raw-' || id, tries, false, changed_at, created_at, now(), 1
from d;
commit;
