-- ensure_partitions(now, months): makes the monthly partitions of attempt, log and decision, this month and so many ahead, and
-- those of the months that rows in the DEFAULT partition belong to; such rows are moved there.
-- Returns the names of those it made. A partition is made beside its table and attached, which stops neither readers nor writers of
-- the table; only the DEFAULT partition is locked, and not waited for longer than a second (55P03: try again later).
create or replace function sicantik_notify.ensure_partitions(p_now timestamptz default clock_timestamp(), p_months integer default 3)
returns setof text
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
set "TimeZone" = 'UTC'
set lock_timeout = '1s'
as $ensure_partitions$
declare
    parent    text;
    key       text;
    first_day date;
    part      text;
begin
    perform pg_advisory_xact_lock(hashtextextended('sicantik_notify.ensure_partitions', 0));
    foreach parent in array array['attempt', 'log', 'decision'] loop
        key := case parent when 'attempt' then 'started_at' when 'log' then 'finished_at' else 'decided_at' end;
        for first_day in execute format(
            'select generate_series(date_trunc(''month'', $1), date_trunc(''month'', $1) + make_interval(months => $2), interval ''1 month'')::date
             union select distinct date_trunc(''month'', %I)::date from sicantik_notify.%I order by 1', key, parent || '_default')
            using p_now, p_months
        loop
            part := format('%s_%s', parent, to_char(first_day, 'YYYY_MM'));
            continue when to_regclass(format('sicantik_notify.%I', part)) is not null;
            execute format('create table sicantik_notify.%I (like sicantik_notify.%I including all)', part, parent);
            if parent = 'attempt' then
                execute format('alter table sicantik_notify.%I set (vacuum_truncate = off)', part);
            end if;
            execute format('comment on table sicantik_notify.%I is %L', part, format('%s of %s', parent, to_char(first_day, 'YYYY-MM')));
            -- Locked before it is looked at: nothing may fall into it between the two.
            execute format('lock table sicantik_notify.%I in access exclusive mode', parent || '_default');
            execute format('with moved as (delete from sicantik_notify.%I where %I >= %L and %I < %L returning *) insert into sicantik_notify.%I select * from moved',
                           parent || '_default', key, first_day::timestamptz, key, (first_day + interval '1 month')::timestamptz, part);
            execute format('alter table sicantik_notify.%I attach partition sicantik_notify.%I for values from (%L) to (%L)',
                           parent, part, first_day::timestamptz, (first_day + interval '1 month')::timestamptz);
            return next part;
        end loop;
    end loop;
end
$ensure_partitions$;
comment on function sicantik_notify.ensure_partitions(timestamptz, integer) is
    'Makes the monthly partitions ahead of time, and empties the DEFAULT partitions';
