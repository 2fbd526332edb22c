-- Forgets instances that have been silent for long and hold no work.
-- $1 seconds without a heartbeat
delete from sicantik_notify.instance i
where i.heartbeat_at < sicantik_notify.clock() - make_interval(secs => $1::double precision * 3)
  and not exists (select from sicantik_notify.queue q where q.claimed_by = i.id and q.state = 'processing')
