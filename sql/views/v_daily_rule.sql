-- v_daily_rule: what each day came to, rule by rule (Statistik). Read from the daily counts, as v_daily is.
create view sicantik_notify.v_daily_rule as
select q.day, q.rule_code as rule,
       coalesce(s.messages, 0) as messages, coalesce(s.sent, 0) as sent, coalesce(s.delivered, 0) as delivered, coalesce(s.read, 0) as read,
       coalesce(s.failed, 0) as failed, coalesce(s.given_up, 0) as given_up, coalesce(s.cancelled, 0) as cancelled,
       coalesce(k.people, 0) as skipped, coalesce(k.why, '{}') as skipped_why, coalesce(s.repeats, 0) as repeats,
       coalesce(s.possible_duplicates, 0) as possible_duplicates,
       p.sent_p50, p.sent_p90, p.sent_p99, p.delivered_p50, p.delivered_p90, p.delivered_p99,
       d.counted_at
from (
    select x.day, x.rule_code from sicantik_notify.statistic x where x.rule_code <> ''
    union
    select y.day, y.rule_code from sicantik_notify.statistic_skip y where y.rule_code <> ''
) q
join sicantik_notify.statistic_day d on d.day = q.day
left join lateral (
    select sum(s.messages)::bigint as messages, sum(s.sent)::bigint as sent, sum(s.delivered)::bigint as delivered,
           sum(s.read)::bigint as read, sum(s.failed)::bigint as failed, sum(s.given_up)::bigint as given_up,
           sum(s.cancelled)::bigint as cancelled, sum(s.skipped)::bigint as skipped_messages, sum(s.repeats)::bigint as repeats,
           sum(s.possible_duplicates)::bigint as possible_duplicates
    from sicantik_notify.statistic s
    where s.day = q.day and s.rule_code = q.rule_code
) s on true
left join lateral (
    select sum(y.people)::bigint as people, jsonb_object_agg(y.reason, y.people) as why
    from (
        select y.reason, sum(y.people) as people
        from sicantik_notify.statistic_skip y
        where y.day = q.day and y.rule_code = q.rule_code and y.skipped
        group by y.reason
    ) y
) k on true
left join lateral (
    select sicantik_notify.bucket_time(min(c.bucket) filter (where c.kind = 'sent' and c.upto >= 0.5 * c.total)) as sent_p50,
           sicantik_notify.bucket_time(min(c.bucket) filter (where c.kind = 'sent' and c.upto >= 0.9 * c.total)) as sent_p90,
           sicantik_notify.bucket_time(min(c.bucket) filter (where c.kind = 'sent' and c.upto >= 0.99 * c.total)) as sent_p99,
           sicantik_notify.bucket_time(min(c.bucket) filter (where c.kind = 'delivered' and c.upto >= 0.5 * c.total)) as delivered_p50,
           sicantik_notify.bucket_time(min(c.bucket) filter (where c.kind = 'delivered' and c.upto >= 0.9 * c.total)) as delivered_p90,
           sicantik_notify.bucket_time(min(c.bucket) filter (where c.kind = 'delivered' and c.upto >= 0.99 * c.total)) as delivered_p99
    from (
        select b.kind, b.bucket, sum(b.messages) over (partition by b.kind order by b.bucket) as upto,
               sum(b.messages) over (partition by b.kind) as total
        from (
            select t.kind, t.bucket, sum(t.messages) as messages
            from sicantik_notify.statistic_time t
            where t.day = q.day and t.rule_code = q.rule_code
            group by t.kind, t.bucket
        ) b
    ) c
) p on true;
comment on view sicantik_notify.v_daily_rule is
    'Statistik, day by day and rule by rule: what became of its messages, and how long they took; as of counted_at';
