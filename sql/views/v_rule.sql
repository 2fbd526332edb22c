-- v_rule: rules, with what they have done.
create view sicantik_notify.v_rule as
select r.sequence, r.code, r.name, r.active, r.trigger, r.condition_domain, r.recipient_type, r.template_key, r.priority,
       (select count(*) from sicantik_notify.queue q where q.rule_id = r.id) as waiting,
       l.sent, l.failed, l.last_finished_at
from sicantik_notify.rule r
left join (
    select g.rule_id, count(*) filter (where g.state = 'sent') as sent, count(*) filter (where g.state = 'failed') as failed,
           max(g.finished_at) as last_finished_at
    from sicantik_notify.log g
    where g.finished_at > sicantik_notify.clock() - interval '30 days'
    group by g.rule_id
) l on l.rule_id = r.id;
comment on view sicantik_notify.v_rule is 'Aturan: rules, with waiting messages and the results of the last 30 days';
