-- v_queue: every message, waiting or finished, with the guide's states (SICANTIK guide §8.1).
create view sicantik_notify.v_queue as
select q.id, q.state, r.code as rule, t.code as trigger, q.model, q.record_id, q.partner_id, q.partner_name,
       sicantik_notify.show_phone(q.phone) as phone, q.template_key, q.priority, q.scheduled_at, q.tries,
       case
           when q.state = 'processing' then 'in flight'
           when q.waiting_for = 'storm_guard' then 'storm guard: release or discard (rule_release, rule_discard)'
           when q.state = 'held' then 'held: ' || coalesce(q.last_error, 'a person must release or cancel it')
           when q.waiting_for = 'rule_inactive' or not r.active then 'rule inactive'
           when not sicantik_notify.campaign_sends(k.state) then 'campaign ' || k.state
           when q.waiting_for = 'rate_limit' then
               'rate limit (' || r.rate_limit_count || ' per ' || r.rate_limit_period || ')'
               || coalesce(' until ' || greatest(u.next_end + sicantik_notify.rate_period(r.rate_limit_period),
                                                 sicantik_notify.clock())::timestamptz(0), '')
           when q.waiting_for = 'quiet_hours' and q.scheduled_at > sicantik_notify.clock() then 'quiet hours until ' || q.scheduled_at::timestamptz(0)
           when q.waiting_for = 'batch' and q.scheduled_at > sicantik_notify.clock() then 'batch slot at ' || q.scheduled_at::timestamptz(0)
           when (q.ready or q.scheduled_at <= sicantik_notify.clock())
                and not exists (select from sicantik_notify.cron_job j where j.code = 'process_queue' and j.active)
               then 'job disabled (SICANTIK: Process Notification Queue)'
           when exists (select from sicantik_notify.queue b where b.phone = q.phone and b.state = 'processing') then 'recipient busy'
           when q.waiting_for = 'provider' then 'a provider: ' || coalesce(q.last_error, 'none can take it')
           when not q.ready and q.scheduled_at > sicantik_notify.clock() then 'scheduled'
           else 'the daemon'
       end as waiting_for,
       q.possible_duplicate, q.last_error as error, null::text as provider_type, null::text as external_id,
       q.changed_at, q.created_at, null::timestamptz as finished_at, q.retry_of, q.campaign_id
from sicantik_notify.queue q
join sicantik_notify.rule r on r.id = q.rule_id
left join sicantik_notify.trigger t on t.id = q.trigger_id
left join sicantik_notify.campaign k on k.id = q.campaign_id
left join (
    -- The place of the rule that becomes free next; those of calls under way are not known yet.
    select s.rule_id, (select min(x.ended_at) from sicantik_notify.rate_usage x where x.rule_id = s.rule_id) as next_end
    from sicantik_notify.rate_state s
) u on u.rule_id = q.rule_id
union all
select l.id, case when l.state = 'sent' and rf.state = 'failed' then 'failed' else l.state end, l.rule_code, l.trigger_code, l.model, l.record_id, l.partner_id, l.partner_name,
       sicantik_notify.show_phone(l.phone), l.template_key, null, null, l.tries,
       null,
       l.possible_duplicate, case when rf.state = 'failed' then coalesce(rf.error, l.error) else l.error end, l.provider_type, l.external_id,
       l.changed_at, l.created_at, l.finished_at, l.retry_of, l.campaign_id
from sicantik_notify.log l
left join lateral (
    select r.state, r.at, r.code, r.error from sicantik_notify.receipt r
    where r.message_id = l.id order by r.rank > 2 desc, r.attempt_id desc, r.rank desc limit 1) rf on true;
comment on view sicantik_notify.v_queue is 'Antrian: every message, waiting or finished; waiting_for says why it waits';
