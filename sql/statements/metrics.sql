-- What the database knows, as numbers for Prometheus: name, labels, value. Counts of the queue are exact, and read it whole.
select m.name, m.labels, m.value
from (
    select 'sicantik_notify_queue_messages' as name,
           jsonb_build_object('state', s.state, 'rule', s.rule, 'waiting_for', s.waiting_for) as labels, s.messages::double precision as value
    from sicantik_notify.v_queue_summary s
    union all
    select 'sicantik_notify_queue_oldest_due_seconds', '{}',
           coalesce((select greatest(0, extract(epoch from sicantik_notify.clock() - min(q.scheduled_at)))
                     from sicantik_notify.queue q where q.state = 'pending' and q.ready), 0)
    union all
    select 'sicantik_notify_events_waiting', '{}', (select count(*) from sicantik_notify.event)
    union all
    select 'sicantik_notify_events_oldest_seconds', '{}',
           coalesce((select greatest(0, extract(epoch from clock_timestamp() - e.occurred_at))
                     from sicantik_notify.event e order by e.id limit 1), 0)
    union all
    select 'sicantik_notify_events_set_aside', '{}', (select count(*) from sicantik_notify.event_set_aside)
    union all
    select 'sicantik_notify_provider_paused', jsonb_build_object('provider', p.name, 'provider_type', p.provider_type),
           coalesce((h.open_until is not null)::integer, 0)
    from sicantik_notify.provider p
    left join sicantik_notify.provider_health h on h.provider_id = p.id
    where p.active
    union all
    select 'sicantik_notify_problems', jsonb_build_object('severity', v.severity), count(p.severity)
    from (values ('alarm'), ('warning')) v (severity)
    left join sicantik_notify.v_problem p on p.severity = v.severity
    group by v.severity
    union all
    select 'sicantik_notify_instances', jsonb_build_object('delivering', i.delivering::text), count(*)
    from sicantik_notify.instance i
    where i.heartbeat_at > sicantik_notify.clock() - interval '1 minute'
    group by i.delivering
    union all
    select 'sicantik_notify_leader', jsonb_build_object('instance', i.name), max(i.leads::integer)
    from sicantik_notify.v_instance i
    where i.alive
    group by i.name
    union all
    select 'sicantik_notify_campaigns', jsonb_build_object('state', s.state), count(c.id)
    from (values ('scheduled'), ('running'), ('paused')) s (state)
    left join sicantik_notify.campaign c on c.state = s.state
    group by s.state
    union all
    select 'sicantik_notify_campaign_targets_left', '{}',
           coalesce((select sum(p.pending) from sicantik_notify.v_campaign_progress p where p.state in ('running', 'paused')), 0)
    union all
    select 'sicantik_notify_capture_slot_lag_bytes', jsonb_build_object('slot', k.slot_name),
           pg_wal_lsn_diff(case when pg_is_in_recovery() then pg_last_wal_replay_lsn() else pg_current_wal_lsn() end, s.confirmed_flush_lsn)
    from sicantik_notify.capture_slot k
    join pg_catalog.pg_replication_slots s on s.slot_name = k.slot_name
    union all
    select 'sicantik_notify_host_writes_missed_total', '{}',
           (select case when m.is_called then m.last_value else 0 end from sicantik_notify.miss m)
) m
order by m.name, m.labels::text
