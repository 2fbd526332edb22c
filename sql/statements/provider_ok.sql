-- Notes a success of a provider. Written, and the row locked, only where it says something new: this is not worth a write
-- a message.
with known as (
    update sicantik_notify.provider_health h
    set failures = 0, open_until = null, last_ok_at = sicantik_notify.clock()
    where h.provider_id = $1::bigint
      and (h.failures > 0 or h.open_until is not null or h.last_ok_at is null
           or h.last_ok_at < sicantik_notify.clock() - interval '10 seconds')
)
insert into sicantik_notify.provider_health (provider_id, last_ok_at)
select $1::bigint, sicantik_notify.clock()
where not exists (select from sicantik_notify.provider_health h where h.provider_id = $1::bigint)
on conflict (provider_id) do nothing
