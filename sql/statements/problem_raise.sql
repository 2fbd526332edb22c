-- Raises a problem, or keeps it alive.
insert into sicantik_notify.problem as p (key, severity, summary, remedy)
values ($1::text, $2::text, $3::text, $4::text)
on conflict (key) do update
set last_seen = sicantik_notify.clock(), severity = excluded.severity, summary = excluded.summary, remedy = excluded.remedy
