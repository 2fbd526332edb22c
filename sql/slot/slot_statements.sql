-- What `hooks install` and `capture switch logical` run, and `hooks sql` prints, where the slot captures. In order; each
-- part is one transaction:
--
--   the daemon's role     may read the slot
--   publication           of whole tables: a column list or a row filter could make the host's writes fail
--   slot                  from here on the server keeps its log until the daemon has read it
--   position              from where the daemon reads
--   one part a table      the hook goes and the slot takes over, in one transaction under an exclusive lock
--
-- Statements are asked for anew before each part runs, since each changes what is missing.
create or replace function sicantik_notify.slot_statements()
returns table (part text, step integer, statement text)
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $slot_statements$
declare
    slot   constant text := sicantik_notify.slot_name();
    publication constant text := 'sicantik_notify';
    known  sicantik_notify.capture_slot;
    useless boolean;
    plan   record;
    leaf   record;
    hook   record;
    list   text[];
    newer  constant boolean := current_setting('server_version_num')::integer >= 170000;
begin
    select * into known from sicantik_notify.capture_slot;
    if not exists (select from pg_roles r where r.rolname = 'sicantik_notifyd' and (r.rolreplication or r.rolsuper)) then
        part := 'role sicantik_notifyd';
        step := 1;
        statement := E'-- Reading a slot needs REPLICATION. Who holds it can read every change of this database, columns with secrets too, and\n'
                     '-- copy the whole cluster: give sicantik_notifyd no line with the database "replication" in pg_hba.conf (its line for\n'
                     '-- this database is enough).\n'
                     'alter role sicantik_notifyd replication';
        return next;
    end if;

    if not exists (select from pg_publication p where p.pubname = publication) then
        part := 'publication ' || publication;
        step := 1;
        statement := E'-- Ours, so that the daemon learns in the log''s own order what it is to look for. Host tables are added below.\n'
                     || format(E'create publication %I for table only sicantik_notify.capture_plan,\n'
                               '    only sicantik_notify.noise_column, only sicantik_notify.capture_slot_table\n'
                               '    with (publish = ''insert, update, delete, truncate'', publish_via_partition_root = true)', publication);
        return next;
    end if;

    -- A slot that the server gave up (wal_status lost) is of no use to anybody, nor one that is to be read by a publication that
    -- was not there when the log was written.
    useless := exists (select from pg_replication_slots s where s.slot_name = slot and s.wal_status = 'lost')
        or exists (select from pg_replication_slots s where s.slot_name = slot and s.confirmed_flush_lsn <= known.position
                   and not exists (select from pg_publication p where p.oid = known.publication_oid));
    if useless then
        part := 'useless slot ' || slot;
        step := 0;
        foreach statement in array array[
            format('select pg_terminate_backend(s.active_pid) from pg_replication_slots s where s.slot_name = %L and s.active', slot),
            format('select pg_drop_replication_slot(%L)', slot)] loop
            step := step + 1;
            return next;
        end loop;
    end if;
    if useless or not exists (select from pg_replication_slots s where s.slot_name = slot) then
        part := 'slot ' || slot;
        step := 1;
        statement := E'-- Waits until every transaction that is open now has ended. From here on the server keeps its log until the daemon has\n'
                     '-- read it: set max_slot_wal_keep_size, or a daemon that is away for long fills the disk.\n'
                     || format('select pg_create_logical_replication_slot(%L, ''pgoutput'', false, false%s)', slot,
                               case when newer then ', true' else '' end);
        return next;
    end if;

    -- Also after a slot was lost or a standby was promoted: reading begins anew, and what lies between is said aloud.
    if known.slot_name is null or sicantik_notify.slot_refusal() is not null
       or useless or not exists (select from pg_replication_slots s where s.slot_name = slot) then
        part := 'position of ' || slot;
        step := 0;
        foreach statement in array array[
            'set local role sicantik_notify_owner',
            E'-- If the daemon had read less than the slot still has, what lies between is a problem, until a person deletes it.\n'
            'select sicantik_notify.slot_begin()',
            'reset role'] loop
            step := step + 1;
            return next;
        end loop;
    end if;

    for plan in
        select p.model, p.table_name, c.oid as relation, c.relkind,
               exists (select from pg_publication_rel r join pg_publication b on b.oid = r.prpubid
                       where b.pubname = publication and r.prrelid = c.oid) as published,
               to_regprocedure(format('sicantik_notify.%I()', 'capture_' || p.table_name))::oid as function
        from sicantik_notify.capture_plan p
        join pg_class c on c.oid = to_regclass(format('public.%I', p.table_name)) and c.relkind in ('r', 'p')
        left join sicantik_notify.capture_slot_table t on t.table_name = p.table_name
        where p.active
          -- In a publication, a partition that comes later and has neither key nor identity would make the host's updates fail.
          and (c.relkind = 'r' or exists (select from pg_index i where i.indrelid = c.oid and i.indisprimary))
          and (t.table_name is null or t.until_lsn is not null
               or not exists (select from pg_publication_rel r join pg_publication b on b.oid = r.prpubid
                              where b.pubname = publication and r.prrelid = c.oid)
               or exists (select from pg_trigger g where g.tgrelid = c.oid and not g.tgisinternal
                          and g.tgname in ('sicantik_notify_insert', 'sicantik_notify_update'))
               or exists (select from sicantik_notify.slot_blind(c.oid)))
        order by p.model
    loop
        part := plan.table_name;
        step := 0;
        list := array[
            'set local lock_timeout = ''500ms''',
            'set local search_path = pg_catalog, pg_temp',
            E'-- Nobody writes the table now: every transaction is on one side of the border that is drawn below.\n'
            || format('lock table public.%I in access exclusive mode', plan.table_name)];
        for leaf in select * from sicantik_notify.slot_blind(plan.relation) loop
            list := list || (E'-- The server writes the whole old row into its log, so that the daemon can tell what changed.\n'
                             || format('alter table only %s replica identity full', leaf.relation));
        end loop;
        if not plan.published then
            list := list || format('alter publication %I add table %spublic.%I', publication,
                                   case plan.relkind when 'r' then 'only ' else '' end, plan.table_name);
        end if;
        for hook in
            select t.tgname from pg_trigger t
            where t.tgrelid = plan.relation and not t.tgisinternal and t.tgparentid = 0
              and t.tgname in ('sicantik_notify_insert', 'sicantik_notify_update') order by 1
        loop
            list := list || format('drop trigger %I on public.%I', hook.tgname, plan.table_name);
        end loop;
        list := list || array['set local role sicantik_notify_owner']
            || case when plan.function is not null
                    then array[format('drop function sicantik_notify.%I()', 'capture_' || plan.table_name)] else '{}' end
            || array[E'-- The border.\n' || format('select sicantik_notify.slot_takes(%L, %L, %L)', plan.table_name,
                         sicantik_notify.slot_identity(plan.relation),
                         case when not plan.published then 'it was not in the publication'
                              when exists (select from sicantik_notify.slot_blind(plan.relation)) then 'its old rows were not in the log' end),
                     'reset role'];
        foreach statement in array list loop
            step := step + 1;
            return next;
        end loop;
    end loop;
end
$slot_statements$;
comment on function sicantik_notify.slot_statements() is 'What hooks install and capture switch logical run';
