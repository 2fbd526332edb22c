-- queue_waits: why each message waits, in words. A view of its own, so that v_queue asks it only for the rows that it shows.
create view sicantik_notify.queue_waits as
select q.id,
       case
           when q.state = 'processing' then 'in flight'
           when q.waiting_for = 'storm_guard' then 'storm guard: release or discard (rule_release, rule_discard)'
           when q.state = 'held' then 'held: ' || coalesce(q.last_error, 'a person must release or cancel it')
           when q.waiting_for = 'rule_inactive' or not r.active then 'rule inactive'
           when not sicantik_notify.campaign_sends(k.state) then 'campaign ' || k.state
           when q.waiting_for = 'rate_limit' then
               'rate limit (' || r.rate_limit_count || ' per ' || r.rate_limit_period || ')'
               || coalesce(' until ' || greatest(u.next_end + sicantik_notify.rate_period(r.rate_limit_period),
                                                 sicantik_notify.statement_clock())::timestamptz(0), '')
           when q.waiting_for = 'quiet_hours' and q.scheduled_at > sicantik_notify.statement_clock() then 'quiet hours until ' || q.scheduled_at::timestamptz(0)
           when q.waiting_for = 'batch' and q.scheduled_at > sicantik_notify.statement_clock() then 'batch slot at ' || q.scheduled_at::timestamptz(0)
           when (q.ready or q.scheduled_at <= sicantik_notify.statement_clock())
                and not exists (select from sicantik_notify.cron_job j where j.code = 'process_queue' and j.active)
               then 'job disabled (SICANTIK: Process Notification Queue)'
           when exists (select from sicantik_notify.queue b where b.phone = q.phone and b.state = 'processing') then 'recipient busy'
           when q.waiting_for = 'provider' then 'a provider: ' || coalesce(q.last_error, 'none can take it')
           when not q.ready and q.scheduled_at > sicantik_notify.statement_clock() then 'scheduled'
           else 'the daemon'
       end as waiting_for
from sicantik_notify.queue q
join sicantik_notify.rule r on r.id = q.rule_id
left join sicantik_notify.campaign k on k.id = q.campaign_id
left join (
    -- The place of the rule that becomes free next; those of calls under way are not known yet.
    select s.rule_id, (select min(x.ended_at) from sicantik_notify.rate_usage x where x.rule_id = s.rule_id) as next_end
    from sicantik_notify.rate_state s
) u on u.rule_id = q.rule_id;
comment on view sicantik_notify.queue_waits is 'Why each message waits, in words';
