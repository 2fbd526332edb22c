-- The ticket of the one message, over all instances, that goes first through a half-open circuit. True as well where the circuit
-- has closed meanwhile.
-- $1 provider, $2 seconds that the message may take
with ticket as (
    update sicantik_notify.provider_health h
    set probe_until = sicantik_notify.clock() + make_interval(secs => $2::double precision)
    where h.provider_id = $1::bigint
      and h.open_until <= sicantik_notify.clock() and h.checked_at >= h.open_until
      and (h.probe_until is null or h.probe_until <= sicantik_notify.clock())
    returning h.provider_id
)
select exists (select from ticket)
       or not exists (select from sicantik_notify.provider_health h where h.provider_id = $1::bigint and h.open_until is not null)
