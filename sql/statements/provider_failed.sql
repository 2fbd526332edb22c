-- Notes a failure of a provider and returns whether its circuit is open now, and for how many seconds. An account-level failure
-- ($3 > 0) opens it at once; others count, and the fifth in a row opens it. A failure in the half-open state is the probe's:
-- it opens again, for twice as long each time, up to $6.
-- $1 provider, $2 error, $3 seconds of pause at once, $4 what it counts (1, or 0.5 for a lost answer), $5 seconds of pause for
-- one that keeps failing, $6 longest pause in seconds
insert into sicantik_notify.provider_health as h (provider_id, failures, last_error, last_error_at, open_until, opened_at, openings)
values ($1::bigint, $4::real, $2::text, sicantik_notify.clock(),
        case when $3::double precision > 0 then sicantik_notify.clock() + make_interval(secs => $3::double precision) end,
        case when $3::double precision > 0 then sicantik_notify.clock() end,
        ($3::double precision > 0)::integer)
on conflict (provider_id) do update
set failures = h.failures + excluded.failures, last_error = excluded.last_error, last_error_at = excluded.last_error_at,
    open_until = case
        when h.open_until > sicantik_notify.clock() then greatest(h.open_until, excluded.open_until)
        when h.open_until is not null or $3::double precision > 0 or h.failures + excluded.failures >= 5 then
            sicantik_notify.clock() + make_interval(secs => least(
                greatest($6::double precision, $3::double precision, $5::double precision),
                case when $3::double precision > 0 then $3::double precision else $5::double precision end * 2 ^ least(h.openings, 20)))
    end,
    opened_at = case
        when h.open_until is not null or $3::double precision > 0 or h.failures + excluded.failures >= 5
            then coalesce(h.opened_at, sicantik_notify.clock())
    end,
    openings = case
        when h.open_until > sicantik_notify.clock() then h.openings
        when h.open_until is not null or $3::double precision > 0 or h.failures + excluded.failures >= 5 then h.openings + 1
        else h.openings
    end,
    probe_until = case when h.open_until <= sicantik_notify.clock() then null else h.probe_until end
returning coalesce(h.open_until > sicantik_notify.clock(), false) as paused,
          coalesce(extract(epoch from h.open_until - sicantik_notify.clock()), 0)::double precision as seconds
