-- hook_statements(): what `hooks install` runs and `hooks sql` prints, table by table, in order. Each table is one
-- transaction with a small lock_timeout (CREATE TRIGGER takes SHARE ROW EXCLUSIVE: writers queue behind us while we wait),
-- tried again a few times. The triggers come last, so that the lock is held for an instant.
create or replace function sicantik_notify.hook_statements()
returns table (model text, step integer, statement text)
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $hook_statements$
declare
    plan record;
    hook record;
begin
    for plan in
        select p.model, p.table_name, p.shape
        from sicantik_notify.capture_plan p
        join pg_class c on c.oid = to_regclass(format('public.%I', p.table_name)) and c.relkind in ('r', 'p')
        where p.active
        order by p.model
    loop
        model := plan.model;
        step := 0;
        select 'capture_' || plan.table_name as name, f.proowner::regrole as owner into hook
        from (values (1)) v
        left join pg_proc f on f.oid = to_regprocedure(format('sicantik_notify.%I()', 'capture_' || plan.table_name));
        foreach statement in array array['set local lock_timeout = ''500ms''',
            -- The DBA runs this: names of the host must not stand in for PostgreSQL's.
            'set local search_path = pg_catalog, pg_temp']
        || case when hook.owner is not null and hook.owner not in ('sicantik_notify_capture'::regrole, 'sicantik_notify_owner'::regrole)
               then array[format(E'-- Restored without owners.\nalter function sicantik_notify.%I() owner to sicantik_notify_owner', hook.name)]
               else '{}' end
        || array[
            E'-- Not while a daemon publishes the same function.\n'
            'select pg_advisory_xact_lock(hashtextextended(''sicantik_notify.publish_capture'', 0))',
            E'-- The function: made by the owner, then given to the role that may only insert events.\n'
            'set local role sicantik_notify_owner',
            'grant create on schema sicantik_notify to sicantik_notify_capture',
            sicantik_notify.capture_source(plan.model),
            format('alter function sicantik_notify.%I() owner to sicantik_notify_capture', 'capture_' || plan.table_name),
            format('revoke all on function sicantik_notify.%I() from public', 'capture_' || plan.table_name),
            'revoke create on schema sicantik_notify from sicantik_notify_capture',
            format(E'-- Its history.\nselect sicantik_notify.note_publication(%L)', plan.model),
            E'-- Nobody is missed yet: the hooks count days without a daemon from here.\n'
            'select setval(''sicantik_notify.awake'', greatest((select s.last_value from sicantik_notify.awake s),'
            ' (extract(epoch from clock_timestamp()) * 1000)::bigint))',
            'reset role',
            format(case plan.shape when 'row'
                       then E'-- The triggers: two, of one form for every table; which columns matter is a question of the body.\n'
                            'create or replace trigger sicantik_notify_insert after insert on public.%I\n'
                            '    for each row execute function sicantik_notify.%I()'
                       else E'-- The triggers: two, of one form for every table; which columns matter is a question of the body.\n'
                            'create or replace trigger sicantik_notify_insert after insert on public.%I\n'
                            '    referencing new table as new_rows\n'
                            '    for each statement execute function sicantik_notify.%I()' end,
                   plan.table_name, 'capture_' || plan.table_name),
            format(case plan.shape when 'row'
                       then E'create or replace trigger sicantik_notify_update after update on public.%I\n'
                            '    for each row execute function sicantik_notify.%I()'
                       else E'create or replace trigger sicantik_notify_update after update on public.%I\n'
                            '    referencing old table as old_rows new table as new_rows\n'
                            '    for each statement execute function sicantik_notify.%I()' end,
                   plan.table_name, 'capture_' || plan.table_name)
        ] loop
            step := step + 1;
            return next;
        end loop;
    end loop;
end
$hook_statements$;
comment on function sicantik_notify.hook_statements() is 'What hooks install runs and hooks sql prints';
