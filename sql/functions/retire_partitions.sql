-- retire_partitions(now): drops the months of log, attempt and decision that ended more than log_retention_days ago. A month stays as long as
-- an attempt in it has no answer, or belongs to a message that is not finished. Returns the names of those it dropped.
-- What is as old and in no partition goes with them (firing_forget).
-- Dropping locks the table for an instant, and is not waited for longer than a second (55P03: try again later).
create or replace function sicantik_notify.retire_partitions(p_now timestamptz default clock_timestamp())
returns setof text
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
set "TimeZone" = 'UTC'
set lock_timeout = '1s'
as $retire_partitions$
declare
    days  constant text := (select s.value from sicantik_notify.setting s where s.key = 'log_retention_days');
    limit_at timestamptz;
    part  record;
    busy  boolean;
begin
    perform sicantik_notify.firing_forget();
    -- Not a number, or none: nothing is thrown away.
    if days is null or days !~ '^[1-9][0-9]{0,4}$' then
        return;
    end if;
    limit_at := p_now - make_interval(days => days::integer);
    perform pg_advisory_xact_lock(hashtextextended('sicantik_notify.ensure_partitions', 0));
    delete from sicantik_notify.batch_series b where b.slot_at < p_now - interval '7 days';
    for part in
        select c.relname as name, p.relname as parent
        from pg_inherits i
        join pg_class c on c.oid = i.inhrelid
        join pg_class p on p.oid = i.inhparent
        where p.relnamespace = 'sicantik_notify'::regnamespace and c.relnamespace = p.relnamespace
          and p.relname in ('attempt', 'log', 'decision')
          and case when c.relname ~ ('^' || p.relname || '_[0-9]{4}_[0-9]{2}$')
                   then to_date(right(c.relname, 7), 'YYYY_MM') + interval '1 month' <= limit_at end
        order by c.relname
    loop
        if part.parent = 'attempt' then
            execute format('select exists (select from sicantik_notify.%I a where a.finished_at is null)'
                           ' or exists (select from sicantik_notify.queue q join sicantik_notify.%I a on a.message_id = q.id)',
                           part.name, part.name) into busy;
            continue when busy;
        end if;
        execute format('drop table sicantik_notify.%I', part.name);
        if part.parent = 'log' then
            delete from sicantik_notify.log_given_up g
            where g.finished_at < (to_date(right(part.name, 7), 'YYYY_MM') + interval '1 month') at time zone 'UTC';
        end if;
        return next part.name;
    end loop;
end
$retire_partitions$;
comment on function sicantik_notify.retire_partitions(timestamptz) is 'Drops months of log, attempts and decisions that are older than log_retention_days';
