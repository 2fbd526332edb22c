-- hook_findings(): how the hooks that stand differ from those that should stand. No rows: all is well.
-- Runs at start of the daemon, every minute, after each change of configuration, and in v_problem.
create or replace function sicantik_notify.hook_findings()
returns table (model text, table_name text, severity text, finding text, remedy text)
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
as $hook_findings$
declare
    plan     record;
    relation oid;
    function pg_proc;
    kind     record;
    trig     pg_trigger;
    columns  text;
    missing  text;
begin
    severity := 'alarm';
    if not has_schema_privilege('sicantik_notify_capture', 'sicantik_notify', 'usage')
       or not has_table_privilege('sicantik_notify_capture', 'sicantik_notify.event', 'insert')
       or not has_sequence_privilege('sicantik_notify_capture', 'sicantik_notify.event_id_seq', 'usage')
       or not has_sequence_privilege('sicantik_notify_capture', 'sicantik_notify.miss', 'usage')
       or not has_sequence_privilege('sicantik_notify_capture', 'sicantik_notify.awake', 'select') then
        model := null;
        table_name := 'event';
        finding := 'role sicantik_notify_capture lacks rights on schema sicantik_notify, table event or its sequences';
        remedy := 'run sicantik-notifyd migrate (it grants them again); changes were missed meanwhile: see backfill';
        return next;
    end if;

    for plan in select * from sicantik_notify.capture_plan p where p.active order by p.model loop
        model := plan.model;
        table_name := plan.table_name;
        relation := to_regclass(format('public.%I', plan.table_name));
        if relation is null then
            finding := format('table public.%I does not exist', plan.table_name);
            remedy := 'deactivate the triggers on this model, or install its module';
            return next;
            continue;
        end if;

        select string_agg(a.attname, ', ' order by a.attname) into columns
        from pg_attribute a where a.attrelid = relation and a.attnum > 0 and not a.attisdropped;
        select string_agg(w.name, ', ' order by w.name) into missing
        from unnest(plan.watched || plan.read) as w (name)
        where not exists (select from pg_attribute a
                          where a.attrelid = relation and a.attname = w.name and a.attnum > 0 and not a.attisdropped);
        if missing is not null then
            finding := format('public.%I has no column %s; it has %s', plan.table_name, missing, columns);
            remedy := 'name an existing column in the trigger or rule, or add a row to field_alias';
            return next;
        end if;

        select f.* into function from pg_proc f
        where f.oid = to_regprocedure(format('sicantik_notify.%I()', 'capture_' || plan.table_name));
        if function.oid is null then
            finding := format('no hook on public.%I: its changes are not captured', plan.table_name);
            remedy := 'run sicantik-notifyd hooks install (as a DBA); see backfill for changes since the hook was lost';
            return next;
            continue;
        end if;
        remedy := 'run sicantik-notifyd hooks install (as a DBA)';
        if pg_get_userbyid(function.proowner) <> 'sicantik_notify_capture' then
            finding := format('function capture_%s belongs to %s, not to sicantik_notify_capture (restored without owners?)',
                              plan.table_name, pg_get_userbyid(function.proowner));
            return next;
        end if;
        if not function.prosecdef
           or coalesce(function.proconfig, '{}') <> array['search_path=pg_catalog, pg_temp', 'enable_nestloop=off',
                                                          'DateStyle=ISO, YMD', 'TimeZone=UTC'] then
            finding := format('function capture_%s was altered: security definer or its settings are gone', plan.table_name);
            return next;
        end if;
        if md5(function.prosrc) is distinct from (
               select c.checksum from sicantik_notify.capture_publication c where c.model = plan.model order by c.id desc limit 1)
        then
            finding := format('the body of function capture_%s is not the one that was published', plan.table_name);
            return next;
        elsif sicantik_notify.capture_source(plan.model) is distinct from (
               select c.source from sicantik_notify.capture_publication c where c.model = plan.model order by c.id desc limit 1)
        then
            finding := format('the hook of public.%I is older than its plan: a column or a trigger changed', plan.table_name);
            remedy := 'the daemon publishes it within a minute; if not, select * from sicantik_notify.publish_capture()';
            return next;
            remedy := 'run sicantik-notifyd hooks install (as a DBA)';
        end if;

        for kind in
            select *
            from (values ('sicantik_notify_insert', 4, null, 'new_rows'),
                         ('sicantik_notify_update', 16, 'old_rows', 'new_rows')) as k (name, event, old_rows, new_rows)
        loop
            select t.* into trig from pg_trigger t where t.tgrelid = relation and t.tgname = kind.name;
            if trig.oid is null then
                finding := format('trigger %s is missing on public.%I: changes are not captured', kind.name, plan.table_name);
                return next;
            elsif trig.tgenabled not in ('O', 'A') then
                finding := format('trigger %s on public.%I is disabled: changes are not captured', kind.name, plan.table_name);
                remedy := format('alter table public.%I enable trigger %I', plan.table_name, kind.name);
                return next;
                remedy := 'run sicantik-notifyd hooks install (as a DBA)';
            elsif trig.tgfoid <> function.oid or trig.tgqual is not null or trig.tgattr::text <> ''
                  or trig.tgtype <> (kind.event + case plan.shape when 'row' then 1 else 0 end)
                  or (plan.shape = 'statement' and (trig.tgoldtable is distinct from kind.old_rows::name
                                                    or trig.tgnewtable is distinct from kind.new_rows::name)) then
                finding := format('trigger %s on public.%I was altered', kind.name, plan.table_name);
                return next;
            end if;
        end loop;
        if plan.shape = 'statement' and exists (select from pg_inherits i where i.inhparent = relation) then
            finding := format('public.%I has partitions or children: their writes do not fire a statement trigger on it', plan.table_name);
            remedy := format('update sicantik_notify.capture_plan set shape = ''row'' where model = %L, then hooks install', plan.model);
            return next;
        end if;
    end loop;
end
$hook_findings$;
comment on function sicantik_notify.hook_findings() is 'How the hooks differ from what they should be; no rows: all is well';
