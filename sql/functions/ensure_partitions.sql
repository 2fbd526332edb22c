-- ensure_partitions(now, months): makes the monthly partitions of attempt, log and decision, this month and so many ahead, the daily
-- ones of event_history, today and a week ahead, and those that rows in a DEFAULT partition belong to; such rows are moved there.
-- Returns the names of those it made. Called by `migrate`, and by the daemon at its start and every hour.
--
-- A partition is made as a table of its own and then attached, which lets readers and writers of its parent go on; only the
-- DEFAULT partition, which should be empty, is locked. A lock that is not had in a second is an error (55P03): the next call tries
-- again, and nobody waits behind us.
create or replace function sicantik_notify.ensure_partitions(p_now timestamptz default clock_timestamp(), p_months integer default 3)
returns setof text
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
set "TimeZone" = 'UTC'
set lock_timeout = '1s'
as $ensure_partitions$
declare
    kind     record;
    first_at timestamptz;
    after_at timestamptz;
    part     text;
begin
    perform pg_advisory_xact_lock(hashtextextended('sicantik_notify.ensure_partitions', 0));
    for kind in
        select p.*, p.parent || '_default' as beside
        from (values ('attempt', 'started_at', '_YYYY_MM', 'month', interval '1 month', p_months),
                     ('log', 'finished_at', '_YYYY_MM', 'month', interval '1 month', p_months),
                     ('decision', 'decided_at', '_YYYY_MM', 'month', interval '1 month', p_months),
                     ('event_history', 'evaluated_at', '_YYYY_MM_DD', 'day', interval '1 day', 7)
             ) as p (parent, key, suffix, unit, step, ahead)
    loop
        for first_at in execute format(
            'select generate_series(date_trunc($1, $2), date_trunc($1, $2) + $3 * $4, $4)'
            ' union select distinct date_trunc($1, %I) from sicantik_notify.%I order by 1', kind.key, kind.beside)
            using kind.unit, p_now, kind.ahead, kind.step
        loop
            part := kind.parent || to_char(first_at, kind.suffix);
            after_at := first_at + kind.step;
            continue when to_regclass(format('sicantik_notify.%I', part)) is not null;
            execute format('create table sicantik_notify.%I (like sicantik_notify.%I including all)', part, kind.parent);
            if kind.parent = 'attempt' then
                execute format('alter table sicantik_notify.%I set (vacuum_truncate = off)', part);
            end if;
            execute format('comment on table sicantik_notify.%I is %L', part,
                           format('%s of %s', kind.parent, to_char(first_at, ltrim(replace(kind.suffix, '_', '-'), '-'))));
            -- Locked before it is looked at: nothing may fall into it between the two.
            execute format('lock table only sicantik_notify.%I in access exclusive mode', kind.beside);
            execute format('with moved as (delete from only sicantik_notify.%I where %I >= %L and %I < %L returning *)'
                           ' insert into sicantik_notify.%I select * from moved',
                           kind.beside, kind.key, first_at, kind.key, after_at, part);
            execute format('alter table sicantik_notify.%I attach partition sicantik_notify.%I for values from (%L) to (%L)',
                           kind.parent, part, first_at, after_at);
            return next part;
        end loop;
    end loop;
end
$ensure_partitions$;
comment on function sicantik_notify.ensure_partitions(timestamptz, integer) is
    'Makes the partitions of months and days ahead of time, and empties the DEFAULT partitions';
