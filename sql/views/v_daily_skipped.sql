-- v_daily_skipped: why people got nothing, day by day (Statistik). Conditions that were not met among them; is_skipped says which of
-- them the other views call skipped.
create view sicantik_notify.v_daily_skipped as
select y.day, nullif(y.rule_code, '') as rule, nullif(y.campaign_id, 0) as campaign_id, y.source, y.reason, y.people,
       y.skipped as is_skipped, d.counted_at
from sicantik_notify.statistic_skip y
join sicantik_notify.statistic_day d on d.day = y.day;
comment on view sicantik_notify.v_daily_skipped is 'Statistik: why there was no message, or it was not sent, day by day, with how often';
