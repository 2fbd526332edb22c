-- v_queue_summary: how much waits, by state, rule and reason.
create view sicantik_notify.v_queue_summary as
select q.state, r.code as rule,
       coalesce(q.waiting_for, case when q.ready then 'due' when q.state = 'pending' then 'scheduled' else q.state end) as waiting_for,
       count(*) as messages, count(*) filter (where q.ready) as due,
       min(q.created_at) as oldest, max(q.tries) as most_tries
from sicantik_notify.queue q
join sicantik_notify.rule r on r.id = q.rule_id
group by q.state, r.code, 3;
comment on view sicantik_notify.v_queue_summary is 'How much waits, by state, rule and reason';
