-- Claims due messages: highest priority first, then oldest; one per recipient, none whose recipient has one in flight.
-- The permit is asked in the same statement (promise P13). The state is checked again in the outer UPDATE.
-- Index: queue_ready_idx for the candidates, queue_in_flight_idx for the recipients.
-- Two claims must never wait for each other: rows are skipped when locked, and recipients by a lock of their own, because
-- the unique index queue_in_flight_idx makes a claim wait for another one that took the same recipient, and two such waits
-- make a deadlock. What the other one has committed since our snapshot fails with 23505: try again.
-- $1 hash of the arming secret, $2 instance, $3 how many, $4 lease in seconds
with permit as materialized (
    select p.allowed from sicantik_notify.delivery_permit($1::text) p
), candidate as materialized (
    select q.id, q.phone, q.priority, q.scheduled_at
    from sicantik_notify.queue q
    where q.state = 'pending' and q.ready
      and (select p.allowed from permit p)
      and not exists (select from sicantik_notify.queue busy where busy.state = 'processing' and busy.phone = q.phone)
    order by q.priority desc, q.scheduled_at, q.id
    limit $3::bigint
    for update of q skip locked
), first as materialized (
    select distinct on (c.phone) c.id, c.phone
    from candidate c
    order by c.phone, c.priority desc, c.scheduled_at, c.id
), mine as materialized (
    select f.id
    from first f
    where pg_try_advisory_xact_lock(1936286068, hashtext(f.phone))
)
update sicantik_notify.queue q
set state = 'processing', ready = false, claim_token = nextval('sicantik_notify.claim_token_seq'), claimed_by = $2::bigint,
    lease_until = clock_timestamp() + make_interval(secs => $4::double precision)
from mine m, sicantik_notify.rule r
where q.id = m.id and q.state = 'pending' and q.ready
  and r.id = q.rule_id and r.active
returning q.id, q.claim_token, q.rule_id, q.partner_id, q.phone, q.template_key, q.context, q.tries, q.uncertain_sends,
          q.postponed, r.max_retries, r.retry_delay, r.retry_backoff
