-- Puts messages back (retry, wait) or aside (hold), only under the claim that worked on them. Returns the ids that moved.
-- $1 id, $2 token, $3 delay in seconds, $4 tries to add, $5 uncertain, $6 hold, $7 error, $8 waiting for a provider
update sicantik_notify.queue q
set state = case when s.hold then 'held' else 'pending' end,
    ready = not s.hold and s.delay <= 0,
    waiting_for = case when s.provider and not s.hold and s.delay > 0 then 'provider' end,
    scheduled_at = case when s.delay > 0 then sicantik_notify.clock() + make_interval(secs => s.delay) else q.scheduled_at end,
    tries = q.tries + s.tries,
    postponed = case when s.tries > 0 or s.uncertain then 0 else q.postponed + 1 end,
    uncertain_sends = q.uncertain_sends + s.uncertain::integer,
    possible_duplicate = q.possible_duplicate or s.uncertain,
    last_error = coalesce(s.error, q.last_error),
    claimed_by = null, lease_until = null, on_wire = null
from unnest($1::bigint[], $2::bigint[], $3::double precision[], $4::integer[], $5::boolean[], $6::boolean[], $7::text[],
            $8::boolean[])
     as s (id, token, delay, tries, uncertain, hold, error, provider)
where q.id = s.id and q.claim_token = s.token and q.state = 'processing'
returning q.id
