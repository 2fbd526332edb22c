-- What `capture switch triggers` runs, table by table, each one transaction under an exclusive lock: the hook stands, and the
-- slot ends, at one place of the log. The slot itself goes when it was read up to there (slot_removal()).
create or replace function sicantik_notify.slot_returns()
returns table (part text, step integer, statement text)
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $slot_returns$
declare
    plan record;
    list text[];
begin
    if exists (select from sicantik_notify.capture_slot c where not c.draining) then
        part := 'slot ' || sicantik_notify.slot_name();
        step := 0;
        foreach statement in array array[
            'set local role sicantik_notify_owner',
            E'-- From now on hooks are what tables get; the daemon reads on until it has passed the borders.\n'
            'update sicantik_notify.capture_slot set draining = true',
            'reset role'] loop
            step := step + 1;
            return next;
        end loop;
    end if;
    for plan in
        select t.table_name, p.model, c.oid as relation
        from sicantik_notify.capture_slot_table t
        left join pg_class c on c.oid = to_regclass(format('public.%I', t.table_name)) and c.relkind in ('r', 'p')
        left join sicantik_notify.capture_plan p on p.table_name = t.table_name and p.active
        where t.until_lsn is null
        order by t.table_name
    loop
        part := plan.table_name;
        step := 0;
        list := array['set local lock_timeout = ''500ms''', 'set local search_path = pg_catalog, pg_temp'];
        if plan.relation is not null then
            list := list || (E'-- Nobody writes the table now: every transaction is on one side of the border that is drawn below.\n'
                             || format('lock table public.%I in access exclusive mode', plan.table_name));
            list := list || array(select h.statement from sicantik_notify.hook_statements() h where h.model = plan.model order by h.step);
            list := list || array(select u.statement from sicantik_notify.slot_unpublish(plan.table_name) with ordinality as u (statement, place)
                                  order by u.place);
        end if;
        list := list || array['set local role sicantik_notify_owner',
                              E'-- The border.\n' || format('select sicantik_notify.slot_yields(%L)', plan.table_name), 'reset role'];
        foreach statement in array list loop
            step := step + 1;
            return next;
        end loop;
    end loop;
end
$slot_returns$;
comment on function sicantik_notify.slot_returns() is 'What capture switch triggers runs';
