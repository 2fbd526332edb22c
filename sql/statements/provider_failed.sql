-- Notes a failure of a provider and returns whether it is paused now. An account-level failure ($3 seconds > 0) pauses it at
-- once; others count, and the fifth in a row pauses it for $5 seconds.
-- $1 provider, $2 error, $3 seconds of pause at once, $4 what it counts (1, or 0.5 for a lost answer), $5 seconds of pause
insert into sicantik_notify.provider_health as h (provider_id, failures, last_error, last_error_at, open_until)
values ($1::bigint, $4::real, $2::text, sicantik_notify.clock(),
        case when $3::double precision > 0 then sicantik_notify.clock() + make_interval(secs => $3::double precision) end)
on conflict (provider_id) do update
set failures = h.failures + excluded.failures, last_error = excluded.last_error, last_error_at = excluded.last_error_at,
    open_until = greatest(h.open_until, excluded.open_until,
                          case when h.failures + excluded.failures >= 5
                               then sicantik_notify.clock() + make_interval(secs => $5::double precision) end)
returning coalesce(h.open_until > sicantik_notify.clock(), false) as paused
