-- Notes that a provider works. Written, and the row locked, only where it says something new: this is not worth a write
-- a message. An open circuit closes only by an attempt that began after it had opened. Returns whether it closed.
-- $1 provider, $2 when the attempt began
with known as materialized (
    select h.provider_id, h.open_until
    from sicantik_notify.provider_health h
    where h.provider_id = $1::bigint
      and (h.failures > 0 or h.open_until is not null or h.last_ok_at is null
           or h.last_ok_at < sicantik_notify.clock() - interval '10 seconds')
      and (h.opened_at is null or h.opened_at <= $2::timestamptz)
    for update
), noted as (
    update sicantik_notify.provider_health h
    set failures = 0, open_until = null, opened_at = null, openings = 0, probe_until = null, last_ok_at = sicantik_notify.clock()
    from known k
    where h.provider_id = k.provider_id
), made as (
    insert into sicantik_notify.provider_health (provider_id, last_ok_at)
    select $1::bigint, sicantik_notify.clock()
    where not exists (select from sicantik_notify.provider_health h where h.provider_id = $1::bigint)
    on conflict (provider_id) do nothing
)
select coalesce((select k.open_until is not null from known k), false) as closed
