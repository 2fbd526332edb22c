-- What there is to do for campaigns: those that run, whether one is due, and whether something is to be tidied. One row at least.
-- Index: queue_campaign_paused_idx.
select c.id, c.name, c.target_model, c.target_domain, c.template_key, c.materialised_at is not null as materialised,
       r.code as rule_code, r.active and t.active as active,
       case when r.schedule_type = 'batch' then r.batch_size else 0 end as batch_size,
       x.due, x.untidy, x.next_due
from (
    select exists (select from sicantik_notify.campaign s
                   where s.state = 'scheduled' and s.scheduled_date <= (select sicantik_notify.clock())) as due,
           (select extract(epoch from min(s.scheduled_date) - sicantik_notify.clock())::double precision
            from sicantik_notify.campaign s where s.state = 'scheduled') as next_due,
           exists (select from sicantik_notify.campaign_delta)
           or exists (select from sicantik_notify.campaign s where s.state = 'running' and s.materialised_at is not null)
           or exists (select from sicantik_notify.campaign s, sicantik_notify.campaign_next(s.id, '-9223372036854775808'::bigint, 1)
                      where s.state = 'cancelled')
           or exists (select from sicantik_notify.queue q join sicantik_notify.campaign s on s.id = q.campaign_id
                      where q.waiting_for = 'campaign_paused' and s.state <> 'paused') as untidy
) x
left join sicantik_notify.campaign c on c.state = 'running'
left join sicantik_notify.rule r on r.code = c.rule
left join sicantik_notify.trigger t on t.code = r.trigger
order by r.priority desc, c.started_at, c.id
