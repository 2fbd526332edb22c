-- The provider asked for patience (HTTP 429, Meta 130429): no message to it before that, from any instance.
-- $1 provider, $2 seconds, $3 its words
insert into sicantik_notify.provider_health as h (provider_id, next_send_at, last_error, last_error_at)
values ($1::bigint, sicantik_notify.clock() + make_interval(secs => $2::double precision), $3::text, sicantik_notify.clock())
on conflict (provider_id) do update
set next_send_at = greatest(h.next_send_at, excluded.next_send_at), last_error = excluded.last_error,
    last_error_at = excluded.last_error_at,
    probe_until = case when h.open_until <= sicantik_notify.clock() then null else h.probe_until end
