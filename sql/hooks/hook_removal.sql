-- hook_removal(): what `hooks remove` runs, table by table. DROP TRIGGER takes ACCESS EXCLUSIVE on the host table for an
-- instant, and everybody queues behind us while we wait for it: a small lock_timeout, tried again a few times. Nothing
-- cascades. Hooks of tables that are no longer watched go too.
create or replace function sicantik_notify.hook_removal()
returns table (table_name text, step integer, statement text)
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $hook_removal$
declare
    hook record;
begin
    for hook in
        select f.proname as function,
               (select array_agg(format('drop trigger %I on %s', t.tgname, t.tgrelid::regclass) order by t.tgname)
                from pg_trigger t where t.tgfoid = f.oid and not t.tgisinternal and t.tgparentid = 0) as triggers
        from pg_proc f
        where f.pronamespace = 'sicantik_notify'::regnamespace
          and f.prorettype = 'trigger'::regtype
          and f.proname like 'capture\_%'
        order by f.proname
    loop
        table_name := substr(hook.function, length('capture_') + 1);
        step := 0;
        foreach statement in array
            array['set local lock_timeout = ''500ms''', 'set local search_path = pg_catalog, pg_temp']
            || coalesce(hook.triggers, '{}')
            || array['set local role sicantik_notify_owner',
                     format('drop function sicantik_notify.%I()', hook.function),
                     'reset role']
        loop
            step := step + 1;
            return next;
        end loop;
    end loop;
end
$hook_removal$;
comment on function sicantik_notify.hook_removal() is 'What hooks remove runs';
