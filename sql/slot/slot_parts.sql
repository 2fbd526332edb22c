-- slot_name(): slots belong to the cluster, so the name says the database.
create or replace function sicantik_notify.slot_name()
returns text
language sql
stable
set search_path = pg_catalog, pg_temp
as $slot_name$ select 'sicantik_notify_' || d.oid from pg_database d where d.datname = current_database() $slot_name$;
comment on function sicantik_notify.slot_name() is 'Name of this database''s replication slot';

-- log_timeline(): the timeline that the server writes on; null on a standby.
create or replace function sicantik_notify.log_timeline()
returns integer
language sql
stable
set search_path = pg_catalog, pg_temp
as $log_timeline$
    select case when not pg_is_in_recovery()
                then ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::integer end
$log_timeline$;
comment on function sicantik_notify.log_timeline() is 'The timeline that the server writes on';

-- slot_identity(relation): its replica identity as ALTER TABLE writes it.
create or replace function sicantik_notify.slot_identity(p_relation oid)
returns text
language sql
stable
set search_path = pg_catalog, pg_temp
as $slot_identity$
    select case c.relreplident
               when 'n' then 'nothing'
               when 'f' then 'full'
               when 'i' then coalesce((select format('using index %I', x.relname) from pg_index i join pg_class x on x.oid = i.indexrelid
                                       where i.indrelid = c.oid and i.indisreplident), 'default')
               else 'default'
           end
    from pg_class c
    where c.oid = p_relation
$slot_identity$;
comment on function sicantik_notify.slot_identity(oid) is 'The replica identity of a table, as ALTER TABLE writes it';

-- slot_blind(relation): the table, and those of its partitions, whose old rows the server does not log: the identity of the
-- partition decides what is logged, and that of its root how it is sent.
create or replace function sicantik_notify.slot_blind(p_relation oid)
returns table (relation regclass)
language sql
stable
set search_path = pg_catalog, pg_temp
as $slot_blind$
    select c.oid::regclass
    from pg_class c
    where c.oid in (select p_relation union all select t.relid from pg_partition_tree(p_relation) t)
      and c.relkind in ('r', 'p') and c.relreplident <> 'f'
    order by c.oid
$slot_blind$;
comment on function sicantik_notify.slot_blind(oid) is 'Relations of a table whose old rows the server does not log';

-- slot_refusal(): why the slot must not be read from where the daemon stopped; null: it may. What lies between would be lost
-- or told twice.
create or replace function sicantik_notify.slot_refusal()
returns text
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
as $slot_refusal$
declare
    known sicantik_notify.capture_slot;
    stands pg_replication_slots;
    cluster text;
begin
    select * into known from sicantik_notify.capture_slot;
    if not found or pg_is_in_recovery() then
        return null;
    end if;
    select c.system_identifier::text into cluster from pg_control_system() c;
    if cluster <> known.system_identifier or sicantik_notify.slot_name() <> known.slot_name then
        return 'this is another database than the one whose log was read (a copy, or a restore): where to go on from is not known here';
    end if;
    select * into stands from pg_replication_slots s where s.slot_name = known.slot_name;
    if not found then
        return format('replication slot %s is gone: changes since %s were not captured', known.slot_name, known.moved_at::timestamptz(0));
    end if;
    if stands.wal_status = 'lost' then
        return format('replication slot %s was given up by the server (max_slot_wal_keep_size): changes since %s were not captured',
                      known.slot_name, known.moved_at::timestamptz(0));
    end if;
    if stands.plugin is distinct from 'pgoutput' or stands.database is distinct from current_database() then
        return format('replication slot %s is not ours any more (plugin %s, database %s)', known.slot_name, stands.plugin, stands.database);
    end if;
    if stands.confirmed_flush_lsn > known.position then
        return format('replication slot %s stands at %s, but only changes up to %s were stored: somebody else read it, or it was made anew',
                      known.slot_name, stands.confirmed_flush_lsn, known.position);
    end if;
    if exists (select from pg_publication p where p.pubname = known.publication_name and p.oid <> known.publication_oid) then
        return format('publication %s was made anew: what was written without it cannot be read', known.publication_name);
    end if;
    if sicantik_notify.log_timeline() <> known.timeline then
        return format('the server is on timeline %s, the position was stored on timeline %s (a standby was promoted, or a backup restored): '
                      'changes since %s may have been lost', sicantik_notify.log_timeline(), known.timeline, known.moved_at::timestamptz(0));
    end if;
    if known.position > pg_current_wal_insert_lsn() then
        return format('the position %s lies behind the end of the server''s log', known.position);
    end if;
    return null;
end
$slot_refusal$;
comment on function sicantik_notify.slot_refusal() is 'Why the slot must not be read from the stored position; null: it may';

-- slot_begin(): from where the daemon reads: where it stopped, if the log from there on is still to be had in the same
-- database (a promoted standby with its copy of the slot); else where the slot stands, and what was not read is a problem.
create or replace function sicantik_notify.slot_begin()
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $slot_begin$
declare
    known   sicantik_notify.capture_slot;
    here    record;
    refusal constant text := sicantik_notify.slot_refusal();
    publication oid;
    start   pg_lsn;
begin
    select p.oid into strict publication from pg_publication p where p.pubname = 'sicantik_notify';
    select s.confirmed_flush_lsn into strict start from pg_replication_slots s where s.slot_name = sicantik_notify.slot_name();
    select * into strict here from sicantik_notify.host_identity();
    select * into known from sicantik_notify.capture_slot for update;
    if found and known.slot_name = sicantik_notify.slot_name() and known.system_identifier = here.system_identifier
       and known.position between start and pg_current_wal_insert_lsn() then
        start := known.position;
    elsif known.slot_name is not null then
        perform sicantik_notify.problem_raise(
                'capture gap', known.moved_at, 'alarm',
                format('changes between %s and %s may not have been captured: %s', known.moved_at::timestamptz(0),
                       clock_timestamp()::timestamptz(0), refusal),
                'look at what changed then, fire the triggers for it, then delete from sicantik_notify.problem where key = ''capture gap''');
    end if;
    insert into sicantik_notify.capture_slot as c
        (slot_name, publication_name, publication_oid, system_identifier, timeline, begun_lsn, position)
    values (sicantik_notify.slot_name(), 'sicantik_notify', publication, here.system_identifier, sicantik_notify.log_timeline(), start, start)
    on conflict (only_row) do update
    set slot_name = excluded.slot_name, publication_name = excluded.publication_name, publication_oid = excluded.publication_oid,
        system_identifier = excluded.system_identifier, timeline = excluded.timeline, begun_at = clock_timestamp(),
        begun_lsn = excluded.begun_lsn, position = excluded.position, moved_at = clock_timestamp();
    delete from sicantik_notify.problem p where p.key = 'capture slot';
end
$slot_begin$;
comment on function sicantik_notify.slot_begin() is 'Lets the daemon read from where it stopped, or from where the slot stands, and says what was lost';

-- slot_takes(table, identity, gap): the border from which on the slot captures a table. The caller holds a lock that no writer of
-- the table shares: who wrote it before has committed, and stands before this place of the log. `gap`: why changes of a table
-- that was the slot's all the time may have been missed until now.
create or replace function sicantik_notify.slot_takes(p_table text, p_identity text, p_gap text)
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $slot_takes$
begin
    if exists (select from sicantik_notify.capture_slot_table t, sicantik_notify.capture_slot c
               where t.table_name = p_table and t.until_lsn > c.position) then
        raise exception using
            errcode = 'object_not_in_prerequisite_state',
            message = format('%s is on its way from the slot to the hook', p_table),
            hint = 'Finish that first: sicantik-notifyd capture switch triggers';
    end if;
    perform sicantik_notify.problem_raise(
           'hook gap of ' || p_table, x.since, 'alarm',
           format('between %s and %s changes of %s may not have been captured: %s', x.since::timestamptz(0),
                  clock_timestamp()::timestamptz(0), p_table, p_gap),
           format('look at what changed then, fire the triggers for it, then delete from sicantik_notify.problem where key = %L',
                  'hook gap of ' || p_table))
    from (select coalesce(max(h.sound_at), max(t.changed_at)) as since
          from sicantik_notify.capture_slot_table t
          left join sicantik_notify.capture_plan p on p.table_name = t.table_name
          left join sicantik_notify.hook_check h on h.model = p.model
          where t.table_name = p_table and t.until_lsn is null) x
    where p_gap is not null and x.since is not null;
    insert into sicantik_notify.capture_slot_table as t (table_name, from_lsn, identity)
    values (p_table, pg_current_wal_insert_lsn(), p_identity)
    on conflict (table_name) do update
    -- One that was the slot's all the time keeps its border: only its publication or its identity was mended.
    set from_lsn = case when t.until_lsn is null then t.from_lsn else excluded.from_lsn end,
        identity = case when t.until_lsn is null then t.identity else excluded.identity end,
        until_lsn = null, changed_at = clock_timestamp();
end
$slot_takes$;
comment on function sicantik_notify.slot_takes(text, text, text) is 'Draws the border from which on the slot captures a table';

-- slot_yields(table): the border from which on the hook captures the table again, under the same lock.
create or replace function sicantik_notify.slot_yields(p_table text)
returns void
language sql
set search_path = pg_catalog, pg_temp
as $slot_yields$
    update sicantik_notify.capture_slot_table t
    set until_lsn = pg_current_wal_insert_lsn(), changed_at = clock_timestamp()
    where t.table_name = p_table and t.until_lsn is null
$slot_yields$;
comment on function sicantik_notify.slot_yields(text) is 'Draws the border from which on the hook captures a table again';
