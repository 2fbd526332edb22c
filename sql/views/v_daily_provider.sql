-- v_daily_provider: what each day came to, provider by provider (Statistik). Read from the daily counts, as v_daily is.
create view sicantik_notify.v_daily_provider as
select s.day, coalesce(v.name, s.provider_type || ' ' || s.provider_id) as provider, s.provider_type,
       s.messages, s.sent, s.delivered, s.read, s.failed, s.given_up, s.repeats, s.possible_duplicates,
       p.sent_p50, p.sent_p90, p.sent_p99, p.delivered_p50, p.delivered_p90, p.delivered_p99,
       d.counted_at
from (
    select s.day, s.provider_id, max(s.provider_type) as provider_type,
           sum(s.messages)::bigint as messages, sum(s.sent)::bigint as sent, sum(s.delivered)::bigint as delivered,
           sum(s.read)::bigint as read, sum(s.failed)::bigint as failed, sum(s.given_up)::bigint as given_up,
           sum(s.cancelled)::bigint as cancelled, sum(s.skipped)::bigint as skipped_messages, sum(s.repeats)::bigint as repeats,
           sum(s.possible_duplicates)::bigint as possible_duplicates
    from sicantik_notify.statistic s
    where s.provider_id <> 0
    group by s.day, s.provider_id
) s
join sicantik_notify.statistic_day d on d.day = s.day
left join sicantik_notify.provider v on v.id = s.provider_id
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
            where t.day = s.day and t.provider_id = s.provider_id
            group by t.kind, t.bucket
        ) b
    ) c
) p on true;
comment on view sicantik_notify.v_daily_provider is
    'Statistik, day by day and provider by provider: what became of its messages, and how long they took; as of counted_at';
