-- Gives back claimed messages on which no attempt was begun: nothing was sent, no retry is burned.
-- $1 ids, $2 tokens
update sicantik_notify.queue q
set state = 'pending', ready = true, claimed_by = null, lease_until = null
from unnest($1::bigint[], $2::bigint[]) as s (id, token)
where q.id = s.id and q.claim_token = s.token and q.state = 'processing' and q.on_wire is null
returning q.id
