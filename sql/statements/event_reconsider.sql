-- Configuration changed since these were set aside: what failed may work now, so it is tried at once. What fails again has
-- a later set_aside_at and waits for the next change.
update sicantik_notify.event_set_aside s
set next_try_at = sicantik_notify.clock()
where s.set_aside_at < (select v.changed_at from sicantik_notify.config_version v)
  and (s.next_try_at is null or s.next_try_at > sicantik_notify.clock())
