-- ensure_partitions(now, months): makes the monthly partitions of attempt, log and decision, this month and so many ahead, and
-- the daily ones of event_history, today and a week ahead. Returns the names of those it made. Called by `migrate`, and by the
-- daemon at its start and every hour.
--
-- A partition is made as a table of its own and then attached, which lets readers and writers of its parent go on; only the
-- DEFAULT partition, which should be empty, is locked. What fell into it moves into the new partition. A lock that is not had
-- in two seconds is an error: the next call tries again, and nobody waits behind us.
create or replace function sicantik_notify.ensure_partitions(p_now timestamptz default clock_timestamp(), p_months integer default 3)
returns setof text
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
set "TimeZone" = 'UTC'
set lock_timeout = '2s'
as $ensure_partitions$
declare
    wanted record;
    key text;
begin
    perform pg_advisory_xact_lock(hashtextextended('sicantik_notify.ensure_partitions', 0));
    for wanted in
        select p.parent, p.parent || to_char(d.first, p.suffix) as part, d.first, d.first + p.step as after
        from (values ('attempt', '_YYYY_MM', 'month', interval '1 month', p_months),
                     ('log', '_YYYY_MM', 'month', interval '1 month', p_months),
                     ('decision', '_YYYY_MM', 'month', interval '1 month', p_months),
                     ('event_history', '_YYYY_MM_DD', 'day', interval '1 day', 7)
             ) as p (parent, suffix, unit, step, ahead)
        cross join lateral generate_series(date_trunc(p.unit, p_now), date_trunc(p.unit, p_now) + p.ahead * p.step, p.step) as d (first)
    loop
        continue when to_regclass(format('sicantik_notify.%I', wanted.part)) is not null;
        key := case wanted.parent when 'attempt' then 'started_at' when 'log' then 'finished_at'
                                  when 'decision' then 'decided_at' else 'evaluated_at' end;
        execute format('create table sicantik_notify.%I (like sicantik_notify.%I including all)', wanted.part, wanted.parent);
        if wanted.parent = 'attempt' then
            execute format('alter table sicantik_notify.%I set (vacuum_truncate = off)', wanted.part);
        end if;
        execute format('comment on table sicantik_notify.%I is %L', wanted.part,
                       format('%s of %s', wanted.parent, ltrim(right(wanted.part, -length(wanted.parent)), '_')));
        execute format('lock table only sicantik_notify.%I in access exclusive mode', wanted.parent || '_default');
        execute format('with moved as (delete from only sicantik_notify.%I where %I >= %L and %I < %L returning *)'
                       ' insert into sicantik_notify.%I select * from moved',
                       wanted.parent || '_default', key, wanted.first, key, wanted.after, wanted.part);
        execute format('alter table sicantik_notify.%I attach partition sicantik_notify.%I for values from (%L) to (%L)',
                       wanted.parent, wanted.part, wanted.first, wanted.after);
        return next wanted.part;
    end loop;
end
$ensure_partitions$;
comment on function sicantik_notify.ensure_partitions(timestamptz, integer) is 'Makes the partitions of months and days ahead of time';
