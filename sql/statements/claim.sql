-- Claims due messages: highest priority first, then oldest; one per recipient, none whose recipient has one in flight.
-- The permit is asked in the same statement (promise P13). The state is checked again in the outer UPDATE.
-- Index: queue_ready_idx for the candidates, queue_in_flight_idx for the recipients.
-- Two claims must never wait for each other: rows are skipped when locked, and recipients by a lock of their own, because
-- the unique index queue_in_flight_idx makes a claim wait for another one that took the same recipient, and two such waits
-- make a deadlock. What the other one has committed since our snapshot fails with 23505: try again.
-- Messages of a rule that was switched off meanwhile are parked where they are met, so that they stand in nobody's way.
-- Rows are written by id = any (array), which keeps to the primary key whatever the statistics say.
-- $1 hash of the arming secret, $2 instance, $3 how many, $4 lease in seconds
with permit as materialized (
    select p.allowed from sicantik_notify.delivery_permit($1::text) p
), look as materialized (
    select q.id, q.phone, q.priority, q.scheduled_at, q.rule_id
    from sicantik_notify.queue q
    where q.state = 'pending' and q.ready
      and (select p.allowed from permit p)
      and not exists (select from sicantik_notify.queue busy where busy.state = 'processing' and busy.phone = q.phone)
    order by q.priority desc, q.scheduled_at, q.id
    limit 2 * $3::bigint
), stray as materialized (
    select q.id
    from sicantik_notify.queue q
    where q.id = any (array(select l.id from look l join sicantik_notify.rule r on r.id = l.rule_id where not r.active))
      and q.state = 'pending' and q.ready
    for update of q skip locked
), parked as (
    update sicantik_notify.queue q
    set ready = false, waiting_for = 'rule_inactive'
    where q.id = any (array(select s.id from stray s))
), head as materialized (
    -- Before anything is locked: where another claim holds a recipient's first message, the second one is not taken instead.
    select distinct on (l.phone) l.id, l.priority, l.scheduled_at
    from look l
    join sicantik_notify.rule r on r.id = l.rule_id
    where r.active
    order by l.phone, l.priority desc, l.scheduled_at, l.id
), chosen as materialized (
    select h.id from head h order by h.priority desc, h.scheduled_at, h.id limit $3::bigint
), locked as materialized (
    select q.id, q.phone
    from sicantik_notify.queue q
    where q.id = any (array(select c.id from chosen c)) and q.state = 'pending' and q.ready
    for update of q skip locked
), mine as materialized (
    select l.id
    from locked l
    where pg_try_advisory_xact_lock(1936286068, hashtext(l.phone))
)
update sicantik_notify.queue q
set state = 'processing', ready = false, claim_token = nextval('sicantik_notify.claim_token_seq'), claimed_by = $2::bigint,
    lease_until = sicantik_notify.clock() + make_interval(secs => $4::double precision)
from sicantik_notify.rule r
where q.id = any (array(select m.id from mine m)) and q.state = 'pending' and q.ready
  and r.id = q.rule_id and r.active
returning q.id, q.claim_token, q.rule_id, q.partner_id, q.phone, q.template_key, q.context, q.tries, q.uncertain_sends,
          q.postponed, q.not_through, q.reply_through, r.code as rule_code, r.max_retries, r.retry_delay, r.retry_backoff
