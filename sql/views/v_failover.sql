-- v_failover: what each change of the server has cost.
create view sicantik_notify.v_failover as
select t.timeline, t.seen_at, t.opened_at, t.awaited, t.unheard, count(l.attempt_id) as lost,
       count(l.attempt_id) filter (where l.settled_at is not null and l.outcome = 'accepted') as sent,
       count(l.attempt_id) filter (where l.settled_at is not null and l.outcome = 'uncertain') as uncertain,
       count(l.attempt_id) filter (where l.settled_at is null) as absent,
       t.doubted
from sicantik_notify.timeline t
left join sicantik_notify.lost_send l on l.timeline = t.timeline
group by t.timeline;
comment on view sicantik_notify.v_failover is
    'Timelines of this server, and what was missing when it took over: sends that daemons remembered (lost = sent + uncertain + absent), and '
    'due messages that are uncertain because nobody could be asked (doubted)';
