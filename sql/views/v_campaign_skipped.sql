-- v_campaign_skipped: which records of a campaign, or which people, got no message, and why. Kept as long as decisions and log are
-- (setting log_retention_days). Index: decision_campaign_idx, log_campaign_idx.
create view sicantik_notify.v_campaign_skipped as
select d.campaign_id, d.model, d.record_id, d.partner_id, d.outcome, d.reason, d.decided_at as at
from sicantik_notify.decision d
where d.campaign_id is not null and d.outcome <> 'enqueued'
union all
select l.campaign_id, l.model, l.record_id, l.partner_id, coalesce(l.code, l.state), l.error, l.finished_at
from sicantik_notify.log l
where l.campaign_id is not null and l.state = 'skipped';
comment on view sicantik_notify.v_campaign_skipped is 'Which records of a campaign, or which people, got no message, and why';
