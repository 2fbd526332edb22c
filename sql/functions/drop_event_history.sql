-- drop_event_history(now): drops the days of event_history that are older than setting event_history_days. Returns the names of
-- those it dropped. A lock that is not had in two seconds is an error: the next call tries again, and nobody waits behind us.
create or replace function sicantik_notify.drop_event_history(p_now timestamptz default clock_timestamp())
returns setof text
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
set "TimeZone" = 'UTC'
set lock_timeout = '2s'
as $drop_event_history$
declare
    days integer := 7;
    oldest date;
    part text;
begin
    perform pg_advisory_xact_lock(hashtextextended('sicantik_notify.ensure_partitions', 0));
    select s.value::integer into days
    from sicantik_notify.setting s
    where s.key = 'event_history_days' and s.value ~ '^\s*[0-9]{1,6}\s*$';
    oldest := p_now::date - coalesce(days, 7);
    for part in
        select c.relname
        from pg_inherits i
        join pg_class c on c.oid = i.inhrelid
        where i.inhparent = 'sicantik_notify.event_history'::regclass and c.relname ~ '^event_history_\d{4}_\d\d_\d\d$'
          and to_date(right(c.relname, 10), 'YYYY_MM_DD') < oldest
        order by 1
    loop
        execute format('drop table sicantik_notify.%I', part);
        return next part;
    end loop;
    delete from sicantik_notify.event_history_default d where d.evaluated_at < oldest;
end
$drop_event_history$;
comment on function sicantik_notify.drop_event_history(timestamptz) is 'Drops the days of event_history that are too old';
