-- Ends claimed messages whose number is on a blacklist as skipped: attempt_begin refused them, nothing was sent. Returns the ids.
-- $1 ids, $2 tokens
with listed as materialized (
    select b.phone, b.reason
    from sicantik_notify.blacklisted(array(select q.phone from sicantik_notify.queue q where q.id = any ($1::bigint[]))) b
), gone as (
    delete from sicantik_notify.queue q
    using unnest($1::bigint[], $2::bigint[]) as s (id, token), sicantik_notify.rule r, listed l
    where q.id = s.id and q.claim_token = s.token and q.state = 'processing' and q.on_wire is null
      and r.id = q.rule_id and r.respect_blacklist and l.phone = q.phone
    returning q.*, r.code as rule_code, l.reason
), freed as (
    update sicantik_notify.rate_usage u set ended_at = '-infinity' from gone g where u.message_id = g.id and u.ended_at is null
), listed_of as (
    insert into sicantik_notify.campaign_delta (campaign_id, outcome, n)
    select g.campaign_id, 'skipped', count(*) from gone g where g.campaign_id is not null group by 1
), counted as (
    update sicantik_notify.blacklist b
    set blocked_count = b.blocked_count + g.messages, last_blocked_date = sicantik_notify.clock()
    from (select g.phone, count(*) as messages from gone g group by g.phone) g
    where b.phone = g.phone and b.active
)
insert into sicantik_notify.log (id, state, rule_id, rule_code, trigger_code, event_id, model, record_id, partner_id, partner_name,
    phone, template_key, context, code, error, tries, possible_duplicate, changed_at, created_at, retry_of,
    campaign_id)
select g.id, 'skipped', g.rule_id, g.rule_code, t.code, g.event_id, g.model, g.record_id, g.partner_id, g.partner_name,
       g.phone, g.template_key, g.context, 'blacklisted', g.reason, g.tries, g.possible_duplicate, g.changed_at, g.created_at, g.retry_of,
       g.campaign_id
from gone g
left join sicantik_notify.trigger t on t.id = g.trigger_id
returning id
