-- v_rule: rules, with their limits, what waits and what they have done.
create view sicantik_notify.v_rule as
select r.sequence, r.code, r.name, r.active, r.trigger, r.condition_domain, r.recipient_type, r.template_key, r.priority,
       r.schedule_type, r.send_window,
       case when r.rate_limit_enabled then r.rate_limit_count || ' per ' || r.rate_limit_period else 'none' end as rate_limit,
       case when r.rate_limit_enabled then
           (select count(*) from sicantik_notify.rate_usage u
            where u.rule_id = r.id and (u.ended_at is null or u.ended_at > sicantik_notify.clock() - sicantik_notify.rate_period(r.rate_limit_period)))
       end as rate_used,
       (select count(*) from sicantik_notify.queue q where q.rule_id = r.id) as waiting,
       (select count(*) from sicantik_notify.queue q where q.rule_id = r.id and q.state = 'held') as held,
       l.sent, l.failed, l.skipped, l.last_finished_at
from sicantik_notify.rule r
left join (
    select g.rule_id, count(*) filter (where g.state = 'sent') as sent, count(*) filter (where g.state = 'failed') as failed,
           count(*) filter (where g.state = 'skipped') as skipped, max(g.finished_at) as last_finished_at
    from sicantik_notify.log g
    where g.finished_at > sicantik_notify.clock() - interval '30 days'
    group by g.rule_id
) l on l.rule_id = r.id;
comment on view sicantik_notify.v_rule is 'Aturan: rules, with their limits, waiting messages and the results of the last 30 days';
