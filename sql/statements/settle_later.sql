-- Puts messages back (retry, wait) or aside (hold), only under the claim that worked on them. Returns the ids that moved.
-- A place within the rate limit is free one period after the call; at once where there was none.
-- A fallback whose turn comes later keeps the place that it had: the providers that refused it are not asked again for it.
-- $1 id, $2 token, $3 delay in seconds, $4 tries to add, $5 uncertain, $6 hold, $7 error, $8 waiting for a provider, $9 who refused it, as
-- an array's text
with mine as materialized (
    select q.id, q.on_wire, s.token, s.delay, s.tries, s.uncertain, s.hold, s.error, s.provider, s.refused::bigint[] as refused
    from (
        select u.*
        from unnest($1::bigint[], $2::bigint[], $3::double precision[], $4::integer[], $5::boolean[], $6::boolean[], $7::text[],
                    $8::boolean[], $9::text[])
             as u (id, token, delay, tries, uncertain, hold, error, provider, refused)
        order by u.id
    ) s
    -- One probe of the key for each; see attempt_begin.
    cross join lateral (
        select q.id, q.on_wire, q.state, q.claim_token from sicantik_notify.queue q where q.id = s.id limit 1 for update
    ) q
    where q.claim_token = s.token and q.state = 'processing'
), freed as (
    update sicantik_notify.rate_usage u
    set ended_at = case when m.on_wire is null then '-infinity' else greatest(sicantik_notify.clock(), u.reserved_at) end
    from mine m
    where u.message_id = m.id and u.ended_at is null
)
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
    not_through = q.not_through || s.refused,
    -- Put off without a call: it is what it was.
    fallback = case when cardinality(s.refused) > 0 then true else q.fallback and s.on_wire is null end,
    claimed_by = null, lease_until = null, on_wire = null
from mine s
where q.id = s.id and q.claim_token = s.token
returning q.id
