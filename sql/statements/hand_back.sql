-- Gives back claimed messages on which no attempt was begun: nothing was sent, no retry is burned, and their places within the
-- rate limit are free at once.
-- $1 ids, $2 tokens
with given as (
    update sicantik_notify.queue q
    set state = 'pending', ready = true, claimed_by = null, lease_until = null
    from unnest($1::bigint[], $2::bigint[]) as s (id, token)
    where q.id = s.id and q.claim_token = s.token and q.state = 'processing' and q.on_wire is null
    returning q.id
), freed as (
    update sicantik_notify.rate_usage u set ended_at = '-infinity' from given g where u.message_id = g.id and u.ended_at is null
)
select g.id from given g
