-- What an instance remembers to have sent, as far as this server does not know it, becomes lost_send. The instance's own row of
-- timeline is locked by the caller. A send is known where its attempt has that end, or its message is finished.
-- Each takes a place within its rule's limit, where the one it had was lost too: people were written to, whatever this server knows.
-- Locks rate_state as the claim does, in the order of rules. Returns how many.
-- $1 timeline, $2 instance, $3 sends, as JSON
with told as materialized (
    select s.*
    from jsonb_to_recordset($3::jsonb)
         as s (attempt_id bigint, started_at timestamptz, message_id bigint, message_created_at timestamptz, claim_token bigint,
               provider_id bigint, provider_type text, template_key text, rule_id bigint, phone text, xact xid8, model text,
               record_id bigint, changed_at timestamptz, outcome text, ended_at timestamptz, http_status smallint, external_id text,
               error text, note text, duration_ms integer)
    where not exists (
            select from sicantik_notify.attempt a
            where a.id = s.attempt_id and a.started_at = s.started_at and a.message_id = s.message_id
              and a.outcome in (s.outcome, 'accepted'))
      and not exists (
            select from sicantik_notify.log l where l.id = s.message_id and l.created_at = s.message_created_at)
), lost as (
    insert into sicantik_notify.lost_send (attempt_id, started_at, timeline, message_id, message_created_at, claim_token, instance_id,
        provider_id, provider_type, template_key, rule_id, phone, xact, model, record_id, changed_at, outcome, ended_at, http_status,
        external_id, error, note, duration_ms)
    select t.attempt_id, t.started_at, $1::bigint, t.message_id, t.message_created_at, t.claim_token, $2::bigint, t.provider_id,
           t.provider_type, t.template_key, t.rule_id, t.phone, t.xact, t.model, t.record_id, t.changed_at, t.outcome, t.ended_at,
           t.http_status, t.external_id, t.error, t.note, t.duration_ms
    from told t
    on conflict do nothing
    returning attempt_id, message_id, rule_id, started_at, ended_at
), counting as materialized (
    select s.rule_id
    from sicantik_notify.rate_state s
    join sicantik_notify.rule r on r.id = s.rule_id and r.rate_limit_enabled
    where s.rule_id = any (array(select l.rule_id from lost l))
    order by s.rule_id
    for no key update of s
), placed as (
    insert into sicantik_notify.rate_usage (rule_id, message_id, reserved_at, ended_at)
    select l.rule_id, l.message_id, l.started_at, l.ended_at
    from lost l
    join counting c on c.rule_id = l.rule_id
    where not exists (select from sicantik_notify.rate_usage u
                      where u.rule_id = l.rule_id and u.message_id = l.message_id
                        and (u.ended_at is null or u.ended_at >= l.started_at))
    returning rule_id
), tally as materialized (
    select p.rule_id, count(*)::integer as n from placed p group by p.rule_id
), counted as (
    update sicantik_notify.rate_state s set used = s.used + t.n from tally t where s.rule_id = t.rule_id
)
select count(*) from lost
