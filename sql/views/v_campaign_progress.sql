-- v_campaign_progress: how far each campaign is (Statistik, SICANTIK guide §5.3). Added up from counters, not from the messages: as
-- cheap with a million of them. targets = released + skipped targets + waiting; messages = queued + sent + failed + cancelled + skipped.
create view sicantik_notify.v_campaign_progress as
select p.id, p.code, p.name, p.state, p.targets, p.released, p.waiting as waiting_targets, p.messages, p.queued,
       p.sent, p.failed,
       p.skipped_targets + p.skipped_messages as skipped,
       p.cancelled_messages + case when p.state = 'cancelled' then p.waiting else 0 end as cancelled,
       p.queued + case when p.state = 'cancelled' then 0 else p.waiting end as pending,
       (case when p.targets is null then null when n.units = 0 then 100.0
            else floor(1000.0 * (n.units - p.queued - case when p.state = 'cancelled' then 0 else p.waiting end) / n.units) / 10 end)::numeric(4, 1) as percent,
       n.per_hour,
       case when p.state = 'running' and p.targets is not null then
           sicantik_notify.clock() + greatest(
               sicantik_notify.rule_duration(p.rule, p.queued + p.waiting, coalesce(p.used, 0)),
               case when n.per_hour > 0 then interval '1 hour' * least(10000000, (p.queued + p.waiting) / n.per_hour) end)
       end as expected_end,
       p.why as skipped_why, p.started_at, p.finished_at
from (
    select c.*, s.used,
           coalesce(t.released, 0) as released, coalesce(t.skipped_targets, 0) as skipped_targets,
           coalesce(c.targets, 0) - coalesce(t.released, 0) - coalesce(t.skipped_targets, 0) as waiting,
           coalesce(t.messages, 0) as messages, coalesce(t.sent, 0) as sent, coalesce(t.failed, 0) as failed,
           coalesce(t.cancelled, 0) as cancelled_messages, coalesce(t.skipped, 0) as skipped_messages,
           coalesce(t.messages, 0) - coalesce(t.sent, 0) - coalesce(t.failed, 0) - coalesce(t.cancelled, 0) - coalesce(t.skipped, 0) as queued,
           coalesce(t.why, '{}') as why
    from sicantik_notify.campaign c
    left join sicantik_notify.rule r on r.code = c.rule
    left join sicantik_notify.rate_state s on s.rule_id = r.id
    cross join lateral (
        select max(x.n) filter (where x.outcome = 'released') as released,
               max(x.n) filter (where x.outcome = 'messages') as messages,
               max(x.n) filter (where x.outcome = 'sent') as sent,
               max(x.n) filter (where x.outcome = 'failed') as failed,
               max(x.n) filter (where x.outcome = 'cancelled') as cancelled,
               max(x.n) filter (where x.outcome = 'skipped') as skipped,
               (sum(x.n) filter (where x.outcome not in ('released', 'messages', 'sent', 'failed', 'cancelled', 'skipped')))::bigint
                   as skipped_targets,
               jsonb_object_agg(case x.outcome when 'skipped' then 'blacklisted' else x.outcome end, x.n)
                   filter (where x.n <> 0 and x.outcome not in ('released', 'messages', 'sent', 'failed', 'cancelled')) as why
        from sicantik_notify.campaign_totals(c.id) x
    ) t
) p
cross join lateral (
    select p.messages + p.skipped_targets + p.waiting as units,
           round((p.sent + p.failed + p.skipped_messages - p.done_before)
                 / nullif(greatest(1, extract(epoch from coalesce(p.finished_at, case when p.state = 'paused' then p.paused_at end,
                                                                  sicantik_notify.clock()) - p.running_since)) / 3600, 0)) as per_hour
) n;
comment on view sicantik_notify.v_campaign_progress is 'Statistik: how far each campaign is';
