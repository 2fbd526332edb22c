-- What `status` shows.
select (select count(*) from sicantik_notify.v_event) as events_waiting,
       (select extract(epoch from sicantik_notify.clock() - min(e.occurred_at))::double precision from sicantik_notify.v_event e) as oldest_event_seconds,
       (select count(*) from sicantik_notify.queue q where q.state = 'pending' and q.ready) as due,
       (select count(*) from sicantik_notify.queue q where q.state = 'pending' and not q.ready) as waiting,
       (select count(*) from sicantik_notify.queue q where q.state = 'processing') as processing,
       (select count(*) from sicantik_notify.queue q where q.state = 'held') as held,
       (select count(*) from sicantik_notify.log l where l.state = 'sent' and l.finished_at > sicantik_notify.clock() - interval '24 hours') as sent_24h,
       (select count(*) from sicantik_notify.log l where l.state = 'failed' and l.finished_at > sicantik_notify.clock() - interval '24 hours') as failed_24h,
       (select case when m.is_called then m.last_value else 0 end from sicantik_notify.miss m) as misses_ever
