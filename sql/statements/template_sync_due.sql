-- Takes the accounts of Meta whose templates are to be read again: each by one instance, once a day. Only where this daemon may
-- send at all.
-- $1 hash of the arming secret, $2 seconds between two readings
with due as (
    select p.id
    from sicantik_notify.provider p
    left join sicantik_notify.provider_health h on h.provider_id = p.id
    where p.provider_type = 'meta' and p.active and coalesce(p.settings ->> 'waba_id', '') <> ''
      and (h.templates_synced_at is null
           or h.templates_synced_at < sicantik_notify.clock() - make_interval(secs => $2::double precision))
      and (select d.allowed from sicantik_notify.delivery_permit($1::text) d)
)
insert into sicantik_notify.provider_health as h (provider_id, templates_synced_at)
select d.id, sicantik_notify.clock() from due d
on conflict (provider_id) do update set templates_synced_at = sicantik_notify.clock()
where h.templates_synced_at is null
   or h.templates_synced_at < sicantik_notify.clock() - make_interval(secs => $2::double precision)
returning h.provider_id
