-- ensure_partitions(now, months): makes the monthly partitions of attempt, log and decision, this month and so many ahead.
-- Returns the names of those it made. An empty DEFAULT partition is scanned briefly; a filled one is reported in v_problem.
create or replace function sicantik_notify.ensure_partitions(p_now timestamptz default clock_timestamp(), p_months integer default 3)
returns setof text
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
set "TimeZone" = 'UTC'
as $ensure_partitions$
declare
    parent text;
    first_day date;
    part text;
begin
    perform pg_advisory_xact_lock(hashtextextended('sicantik_notify.ensure_partitions', 0));
    foreach parent in array array['attempt', 'log', 'decision'] loop
        for first_day in
            select generate_series(date_trunc('month', p_now), date_trunc('month', p_now) + make_interval(months => p_months), interval '1 month')::date
        loop
            part := format('%s_%s', parent, to_char(first_day, 'YYYY_MM'));
            continue when to_regclass(format('sicantik_notify.%I', part)) is not null;
            execute format('create table sicantik_notify.%I partition of sicantik_notify.%I for values from (%L) to (%L)',
                           part, parent, first_day::timestamptz, (first_day + interval '1 month')::timestamptz);
            if parent = 'attempt' then
                execute format('alter table sicantik_notify.%I set (vacuum_truncate = off)', part);
            end if;
            execute format('comment on table sicantik_notify.%I is %L', part, format('%s of %s', parent, to_char(first_day, 'YYYY-MM')));
            return next part;
        end loop;
    end loop;
end
$ensure_partitions$;
comment on function sicantik_notify.ensure_partitions(timestamptz, integer) is 'Makes the monthly partitions ahead of time';
