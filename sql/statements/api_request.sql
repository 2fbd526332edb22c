-- Takes an Idempotency-Key, waiting for whoever is at it. No row: it was used within 24 hours.
-- $1 token, $2 key, $3 hash of the body
insert into sicantik_notify.api_request as r (token_id, key, body_hash)
values ($1::bigint, $2::text, $3::text)
on conflict (token_id, key) do update
set body_hash = excluded.body_hash, requested_at = excluded.requested_at, answer = null
where r.requested_at < sicantik_notify.clock() - interval '24 hours'
returning true
