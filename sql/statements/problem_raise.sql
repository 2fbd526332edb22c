-- Raises a problem, or keeps it alive.
-- $1 key, $2 severity, $3 summary, $4 remedy
select sicantik_notify.problem_raise($1::text, null, $2::text, $3::text, $4::text)
