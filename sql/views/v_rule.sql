-- v_rule: rules, with their limits, what waits and what they have done.
create view sicantik_notify.v_rule as
select r.sequence, r.code, r.name, r.active, r.trigger, r.condition_domain, r.recipient_type, r.template_key, r.priority,
       r.schedule_type, r.send_window,
       case when r.rate_limit_enabled then r.rate_limit_count || ' per ' || r.rate_limit_period else 'none' end as rate_limit,
       case when r.rate_limit_enabled then
           (select count(*) from sicantik_notify.rate_usage u
            where u.rule_id = r.id and (u.ended_at is null
                                      or u.ended_at > sicantik_notify.statement_clock() - sicantik_notify.rate_period(r.rate_limit_period)))
       end as rate_used,
       coalesce(w.waiting, 0) as waiting, coalesce(w.held, 0) as held,
       coalesce(l.sent, 0) as sent, coalesce(l.failed, 0) as failed, coalesce(k.people, 0) as skipped,
       (select g.finished_at from sicantik_notify.log g where g.rule_code = r.code order by g.finished_at desc limit 1) as last_finished_at
from sicantik_notify.rule r
left join (
    select q.rule_id, count(*) as waiting, count(*) filter (where q.state = 'held') as held
    from sicantik_notify.queue q
    group by q.rule_id
) w on w.rule_id = r.id
left join (
    -- From the daily counts: log has a million rows of a month, and people look at rules all day.
    select s.rule_code, sum(s.sent)::bigint as sent, sum(s.failed)::bigint as failed
    from sicantik_notify.statistic s
    where s.day > (select (sicantik_notify.statement_clock() at time zone sicantik_notify.office_zone())::date - 30)
    group by s.rule_code
) l on l.rule_code = r.code
left join (
    select y.rule_code, sum(y.people)::bigint as people
    from sicantik_notify.statistic_skip y
    where y.skipped and y.day > (select (sicantik_notify.statement_clock() at time zone sicantik_notify.office_zone())::date - 30)
    group by y.rule_code
) k on k.rule_code = r.code;
comment on view sicantik_notify.v_rule is
    'Aturan: rules, with their limits, what waits, and what the messages of the last 30 days came to (as of the last daily count)';
