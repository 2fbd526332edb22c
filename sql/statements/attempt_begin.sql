-- Records attempts that are about to go on the wire, for claims that still hold and whose rule is still active. A message
-- that is not returned must not be sent. queue.on_wire is written in the same statement: a takeover that runs at the same
-- time waits for this row or skips it, and then sees on_wire, whatever its snapshot shows of attempt.
-- $1 instance, $2 message ids, $3 claim tokens, $4 provider ids, $5 provider types, $6 template keys
with held as (
    update sicantik_notify.queue q
    set on_wire = w.provider_id
    from unnest($2::bigint[], $3::bigint[], $4::bigint[], $5::text[], $6::text[])
         as w (message_id, token, provider_id, provider_type, template_key),
         sicantik_notify.rule r
    where q.id = w.message_id and q.claim_token = w.token and q.state = 'processing' and q.lease_until > sicantik_notify.clock()
      and r.id = q.rule_id and r.active
      -- A lost answer whose receipt has come meanwhile: it was sent.
      and not (q.uncertain_sends > 0 and exists (select from sicantik_notify.receipt x where x.message_id = q.id and x.state <> 'failed'))
    returning q.id, q.claim_token, w.provider_id, w.provider_type, w.template_key
)
insert into sicantik_notify.attempt (message_id, claim_token, instance_id, provider_id, provider_type, template_key)
select h.id, h.claim_token, $1::bigint, h.provider_id, h.provider_type, h.template_key
from held h
returning id, started_at, message_id
