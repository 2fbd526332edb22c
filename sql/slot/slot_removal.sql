-- slot_unpublish(table): takes a table out of the publication and gives its replica identity back.
create or replace function sicantik_notify.slot_unpublish(p_table text)
returns setof text
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $slot_unpublish$
declare
    relation constant oid := to_regclass(format('public.%I', p_table));
    before   text;
    leaf     record;
begin
    if exists (select from pg_publication_rel r join pg_publication b on b.oid = r.prpubid
               where b.pubname = 'sicantik_notify' and r.prrelid = relation) then
        return next format('alter publication sicantik_notify drop table only public.%I', p_table);
    end if;
    select t.identity into before from sicantik_notify.capture_slot_table t where t.table_name = p_table and t.until_lsn is null;
    if found and before <> 'full' then
        for leaf in
            select c.oid::regclass as relation, c.relispartition from pg_class c
            where c.oid in (select relation union all select t.relid from pg_partition_tree(relation) t)
              and c.relkind in ('r', 'p') and c.relreplident = 'f'
            order by c.oid
        loop
            -- What a partition had of its own is not kept: its key is what Odoo's tables go by.
            return next format('alter table only %s replica identity %s', leaf.relation,
                               case when leaf.relispartition then 'default' else before end);
        end loop;
    end if;
end
$slot_unpublish$;
comment on function sicantik_notify.slot_unpublish(text) is 'Statements that take a table out of the publication and give its replica identity back';

-- slot_end(): nobody reads the slot any more. What a change back to the hooks left unread is a problem.
create or replace function sicantik_notify.slot_end()
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $slot_end$
declare
    known sicantik_notify.capture_slot;
begin
    delete from sicantik_notify.capture_slot returning * into known;
    delete from sicantik_notify.problem p where p.key = 'capture slot';
    if exists (select from sicantik_notify.capture_slot_table t where t.until_lsn > known.position) then
        perform sicantik_notify.problem_raise(
                'capture gap', known.moved_at, 'alarm',
                format('changes from %s until the hooks began were not captured: the slot was not read to its end',
                       known.moved_at::timestamptz(0)),
                'look at what changed then, fire the triggers for it, then delete from sicantik_notify.problem where key = ''capture gap''');
    end if;
end
$slot_end$;
comment on function sicantik_notify.slot_end() is 'Ends capture from the slot, and says what was not read';

-- slot_removal(): what `hooks remove` runs for the slot, and `capture switch triggers` in the end. First our own rows, so
-- that no daemon takes the slot again; the host's tables one by one; publication, slot, and the daemon's right last.
create or replace function sicantik_notify.slot_removal()
returns table (part text, step integer, statement text)
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $slot_removal$
declare
    slot   constant text := sicantik_notify.slot_name();
    gone   record;
    list   text[];
begin
    if exists (select from sicantik_notify.capture_slot) then
        part := 'position of ' || slot;
        step := 0;
        foreach statement in array array['set local role sicantik_notify_owner', 'select sicantik_notify.slot_end()', 'reset role'] loop
            step := step + 1;
            return next;
        end loop;
    end if;
    for gone in select t.table_name from sicantik_notify.capture_slot_table t order by t.table_name loop
        part := gone.table_name;
        step := 0;
        list := array['set local lock_timeout = ''500ms''', 'set local search_path = pg_catalog, pg_temp']
            || array(select u.statement from sicantik_notify.slot_unpublish(gone.table_name) with ordinality as u (statement, place)
                     order by u.place)
            || array['set local role sicantik_notify_owner',
                     format('delete from sicantik_notify.capture_slot_table where table_name = %L', gone.table_name), 'reset role'];
        foreach statement in array list loop
            step := step + 1;
            return next;
        end loop;
    end loop;
    if exists (select from pg_publication p where p.pubname = 'sicantik_notify') then
        part := 'publication sicantik_notify';
        step := 1;
        statement := 'drop publication sicantik_notify';
        return next;
    end if;
    if exists (select from pg_replication_slots s where s.slot_name = slot) then
        part := 'slot ' || slot;
        step := 0;
        foreach statement in array array[
            format('select pg_terminate_backend(s.active_pid) from pg_replication_slots s where s.slot_name = %L and s.active', slot),
            format('select pg_drop_replication_slot(%L)', slot)] loop
            step := step + 1;
            return next;
        end loop;
    end if;
    if exists (select from pg_roles r where r.rolname = 'sicantik_notifyd' and r.rolreplication)
       and not exists (select from pg_replication_slots s where s.slot_name like 'sicantik\_notify\_%' and s.slot_name <> slot) then
        part := 'role sicantik_notifyd';
        step := 1;
        statement := 'alter role sicantik_notifyd noreplication';
        return next;
    end if;
end
$slot_removal$;
comment on function sicantik_notify.slot_removal() is 'What removes slot, publication and borders';
