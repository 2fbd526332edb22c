-- The latest runs, the newest first.
-- $1 code or name of a job or trigger (empty: all), $2 how many, $3 only failed ones, $4 only newer than this run
select r.id, r.started_at,
       r.code, r.outcome, r.duration_ms, r.asked_by, r.records, coalesce(r.error, r.detail, '') as detail, to_jsonb(r.*) as whole
from sicantik_notify.v_cron_run r
where ($1::text is null or r.code = $1::text or lower(r.name) = lower($1::text))
  and (not $3::boolean or r.outcome = 'failed')
  and r.id > $4::bigint
order by r.id desc
limit $2::bigint
