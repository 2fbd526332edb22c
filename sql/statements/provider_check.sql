-- Takes the half-open circuits whose account is to be checked by the provider's own means, which send nothing: each by one
-- instance at a time. Only where this daemon may send at all.
-- $1 hash of the arming secret, $2 seconds that the check may take
update sicantik_notify.provider_health h
set probe_until = sicantik_notify.clock() + make_interval(secs => $2::double precision)
from sicantik_notify.provider p
where p.id = h.provider_id and p.active
  and h.open_until <= sicantik_notify.clock()
  and (h.checked_at is null or h.checked_at < h.open_until)
  and (h.probe_until is null or h.probe_until <= sicantik_notify.clock())
  and (select d.allowed from sicantik_notify.delivery_permit($1::text) d)
returning h.provider_id
