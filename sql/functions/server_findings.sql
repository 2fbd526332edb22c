-- server_findings(): what is wrong with the server or with the state of our tables in it, as v_problem and `doctor` show it. The owner's
-- rights, so that everybody sees the same; of sessions of others only their snapshot's age is read. (Queue and events are looked at in
-- v_problem itself, which holds to the tables whatever their names.) What an office accepts is left out:
-- alter database … set sicantik_notify.accepted_findings = 'setting synchronous_commit, replication slot archive'
create or replace function sicantik_notify.server_findings()
returns table (severity text, since timestamptz, about text, summary text, remedy text)
language sql
stable
security definer
set search_path = pg_catalog, pg_temp
as $server_findings$
    with found (severity, since, about, summary, remedy) as (
        select 'alarm', null::timestamptz, 'setting ' || s.name, s.name || ' is off: a crash of the server can corrupt or lose what was committed',
               'set it on in postgresql.conf and restart or reload the server'
        from pg_settings s
        where s.name in ('fsync', 'full_page_writes') and s.setting = 'off'
        union all
        select 'warning', null, 'setting synchronous_commit',
               'synchronous_commit is off: a crash of the server loses the last writes of Odoo, and their events with them',
               'set it on in postgresql.conf, if the office cannot bear that'
        from pg_settings s
        where s.name = 'synchronous_commit' and s.setting = 'off'
        union all
        select 'alarm', null, 'setting autovacuum', 'autovacuum is off: event, queue and attempt grow with every message and get slower',
               'set autovacuum = on in postgresql.conf and reload the server'
        from pg_settings s
        where s.name = 'autovacuum' and s.setting = 'off'
        union all
        select 'warning', coalesce(t.last_autovacuum, t.last_vacuum), 'table ' || t.relname,
               format('%s dead rows beside %s live ones: vacuum does not keep up, and claims get slower', t.n_dead_tup, t.n_live_tup),
               format('look for an old snapshot (v_problem names it), then: vacuum sicantik_notify.%I', t.relname)
        from pg_stat_user_tables t
        where t.schemaname = 'sicantik_notify' and t.relname in ('event', 'queue', 'attempt', 'instance', 'rate_usage')
          and t.n_dead_tup > 100000 and t.n_dead_tup > 5 * t.n_live_tup
        union all
        select 'warning', a.xact_start, 'session ' || a.pid,
               format('it (user %s, %s) holds a snapshot that is %s transactions old: dead rows of queue and event cannot be removed',
                      coalesce(a.usename, '?'), coalesce(nullif(a.application_name, ''), 'no application name'), age(a.backend_xmin)),
               format('find out what it does; if it may be ended: select pg_terminate_backend(%s)', a.pid)
        from pg_stat_activity a
        where a.datname = current_database() and a.backend_xmin is not null and age(a.backend_xmin) > 1000000
        union all
        select 'warning', p.prepared, 'prepared transaction ' || p.gid,
               'it is prepared since ' || p.prepared || ': it keeps its locks, and dead rows of queue and event cannot be removed',
               format('commit prepared %L, or rollback prepared %L', p.gid, p.gid)
        from pg_prepared_xacts p
        where p.database = current_database() and p.prepared < sicantik_notify.clock() - interval '10 minutes'
        union all
        select case when s.wal_status in ('lost', 'unreserved') then 'alarm' else 'warning' end, null, 'replication slot ' || s.slot_name,
               format('nobody reads it, and it keeps %s of WAL (%s)', pg_size_pretty(pg_wal_lsn_diff(pg_current_wal_lsn(), s.restart_lsn)),
                      coalesce(s.wal_status, '?')),
               format('if its reader does not come back: select pg_drop_replication_slot(%L)', s.slot_name)
        from pg_replication_slots s
        where not s.active and not pg_is_in_recovery() and s.restart_lsn is not null
          and pg_wal_lsn_diff(pg_current_wal_lsn(), s.restart_lsn) > 1073741824
        union all
        select 'alarm', null, 'index ' || c.relname, 'the index is not valid: a CREATE INDEX CONCURRENTLY failed, or it was switched off',
               format('reindex index concurrently sicantik_notify.%I', c.relname)
        from pg_index i
        join pg_class c on c.oid = i.indexrelid
        where c.relnamespace = 'sicantik_notify'::regnamespace and not i.indisvalid
        union all
        select 'warning', null, 'connections', format('%s of %s connections of the server are in use', u.used, u.most),
               'raise max_connections, or lower Odoo''s db_maxconn or database.pool_size'
        from (select count(*) as used, current_setting('max_connections')::integer as most
              from pg_stat_activity a where a.backend_type = 'client backend') u
        where u.used > 0.9 * u.most
    )
    select f.severity, f.since, f.about, f.summary, f.remedy
    from found f
    where f.about <> all (regexp_split_to_array(coalesce(current_setting('sicantik_notify.accepted_findings', true), ''), '\s*,\s*'))
$server_findings$;
comment on function sicantik_notify.server_findings() is
    'What is wrong with the server, or with the state of our tables in it; part of v_problem';
