-- problem_raise(key, since, severity, summary, remedy): the one way in which a problem comes to stand, or goes on standing: since when is
-- what it was at first (empty: now). The caller's rights hold.
create or replace function sicantik_notify.problem_raise(
    p_key text, p_since timestamptz, p_severity text, p_summary text, p_remedy text)
returns void
language sql
volatile
set search_path = pg_catalog, pg_temp
as $problem_raise$
    insert into sicantik_notify.problem as p (key, since, severity, summary, remedy)
    values (p_key, coalesce(p_since, sicantik_notify.clock()), p_severity, p_summary, p_remedy)
    on conflict (key) do update
    set last_seen = sicantik_notify.clock(), severity = excluded.severity, summary = excluded.summary, remedy = excluded.remedy
$problem_raise$;
comment on function sicantik_notify.problem_raise(text, timestamptz, text, text, text) is 'Raises a problem, or keeps it alive';
