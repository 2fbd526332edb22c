-- capture_gate(): the part of every hook between "this write concerns us" and the insert; capture_tail(): what follows it.
create or replace function sicantik_notify.capture_gate()
returns text
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $capture_gate$
declare
    max_age   bigint;
    max_bytes bigint;
begin
    -- A value that is no number counts as the default; hook_findings() says so.
    select coalesce(max(s.value) filter (where s.key = 'capture_max_backlog_age' and s.value ~ '^[0-9]{1,12}$'), '604800'),
           coalesce(max(s.value) filter (where s.key = 'capture_max_backlog_bytes' and s.value ~ '^[0-9]{1,18}$'), '1073741824')
    into max_age, max_bytes
    from sicantik_notify.setting s;
    return format($text$
        -- In a copy of this database the hook is silent (the path of a table's file names its database).
        if pg_relation_filepath('sicantik_notify.event') !~ '/%6$s/[0-9]+$' then
            return null;
        end if;

        -- An earlier write of this transaction was missed: trying again would only cost time, so just count.
        if current_setting('sicantik_notify.gave_up', true) = 'on' then
            perform nextval(%1$s); -- sicantik_notify.miss
            return null;
        end if;

        -- Never wait for our own table: if somebody has locked it, that is a miss, not a delay of the host.
        lock table only sicantik_notify.event in row exclusive mode nowait;

        -- Nobody home for %2$s s, or more than %3$s bytes waiting: count misses instead of filling the host's disk.
        -- (The file never shrinks: its size is compared with what it was when event was last empty.)
        v_now := extract(epoch from clock_timestamp()) * 1000;
        v_awake := coalesce(pg_sequence_last_value('sicantik_notify.awake'), v_now);
        if v_now - v_awake > %4$s
           or pg_relation_size('sicantik_notify.event') + pg_relation_size(%5$s) -- event and its long values
              - coalesce(pg_sequence_last_value('sicantik_notify.event_floor'), 0) > %3$s
        then
            raise exception 'too many events wait for sicantik-notifyd' using errcode = 'configuration_limit_exceeded';
        end if;
$text$, coalesce(to_regclass('sicantik_notify.miss')::oid, 0), max_age, max_bytes, max_age * 1000,
        coalesce((select c.reltoastrelid from pg_class c where c.oid = to_regclass('sicantik_notify.event')), 0),
        -- The database that the installation is bound to: in a copy the hooks stay silent, whoever publishes them there,
        -- until somebody arms the copy.
        coalesce((select i.database_oid from sicantik_notify.installation i),
                 (select d.oid from pg_database d where d.datname = current_database())));
end
$capture_gate$;
comment on function sicantik_notify.capture_gate() is 'Part of capture_body: what is asked before an event is stored';

create or replace function sicantik_notify.capture_tail()
returns text
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $capture_tail$
declare
    wake text := '';
begin
    -- A transaction that has notified cannot be prepared: where the server allows two-phase commit, the daemon polls.
    if current_setting('max_prepared_transactions') = '0'
       and not exists (select from sicantik_notify.setting s where s.key = 'capture_wake' and s.value = 'poll')
    then
        wake := $text$
        -- Wake the daemon, unless it is known to look by itself, and never where a full queue could fail the commit.
        -- It is a hint: a lost one costs one poll interval, never an event.
        get diagnostics v_stored = row_count;
        if v_stored > 0 and v_awake < v_now and pg_notification_queue_usage() < 0.5 then
            perform pg_notify('sicantik_notify_event', '');
        end if;
$text$;
    end if;
    return wake || format($text$
    exception when others then -- everything but a cancel, which is the host's
        -- The host's write goes on. A sequence counts the miss: it survives a rollback and needs no lock. The daemon
        -- sees it move and raises an alarm. It is named by its oid, so that it counts even if our schema is closed to us.
        begin
            perform set_config('sicantik_notify.gave_up', 'on', true);
            raise log 'sicantik-notifyd: a write of %% was not captured: %% (%%)', tg_relid::regclass, sqlerrm, sqlstate;
            perform nextval(%s); -- sicantik_notify.miss
        exception when others then
            null; -- not even that: hooks verify says what is missing
        end;
    end;
    return null;
end
$text$, coalesce(to_regclass('sicantik_notify.miss')::oid, 0));
end
$capture_tail$;
comment on function sicantik_notify.capture_tail() is 'Part of capture_body: the wake-up, and what happens to errors';
