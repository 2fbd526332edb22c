-- Notes a failure of a provider; $3 seconds of pause (0: none) open its circuit.
insert into sicantik_notify.provider_health as h (provider_id, failures, last_error, last_error_at, open_until)
values ($1::bigint, 1, $2::text, clock_timestamp(),
        case when $3::double precision > 0 then clock_timestamp() + make_interval(secs => $3::double precision) end)
on conflict (provider_id) do update
set failures = h.failures + 1, last_error = excluded.last_error, last_error_at = excluded.last_error_at,
    open_until = greatest(h.open_until, excluded.open_until)
