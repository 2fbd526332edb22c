-- Notes a success of a provider. Written only where it says something new: this is not worth a write a message.
insert into sicantik_notify.provider_health as h (provider_id, last_ok_at)
values ($1::bigint, clock_timestamp())
on conflict (provider_id) do update
set failures = 0, open_until = null, last_ok_at = excluded.last_ok_at
where h.failures > 0 or h.open_until is not null or h.last_ok_at is null or h.last_ok_at < clock_timestamp() - interval '10 seconds'
