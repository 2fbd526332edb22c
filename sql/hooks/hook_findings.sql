-- hook_findings(): how the hooks that stand differ from those that should stand. No rows: all is well. severity is alarm
-- where changes of the host are not captured, warning otherwise; since, until when the hook was last seen as it should be.
-- Runs at start of the daemon, every minute, after each change of configuration, and in v_problem.
create or replace function sicantik_notify.hook_findings()
returns table (model text, table_name text, severity text, since timestamptz, finding text, remedy text)
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
as $hook_findings$
declare
    install constant text := 'run sicantik-notifyd hooks install (as a DBA)';
    plan     record;
    relation oid;
    kind     record;
    function pg_proc;
    trig     pg_trigger;
    stands   text;
    noted    text;
    missing  text;
    misses   bigint;
begin
    -- What all hooks need.
    severity := 'alarm';
    table_name := 'event';
    select string_agg(w.right_name, ', ') into missing
    from (values
        ('usage on schema sicantik_notify',
         has_schema_privilege(to_regrole('sicantik_notify_capture'), to_regnamespace('sicantik_notify'), 'usage')),
        ('insert on table event',
         has_table_privilege(to_regrole('sicantik_notify_capture'), to_regclass('sicantik_notify.event'), 'insert')),
        ('usage on sequence event_id_seq',
         has_sequence_privilege(to_regrole('sicantik_notify_capture'), to_regclass('sicantik_notify.event_id_seq'), 'usage')),
        ('usage on sequence miss',
         has_sequence_privilege(to_regrole('sicantik_notify_capture'), to_regclass('sicantik_notify.miss'), 'usage')),
        ('select on sequence awake',
         has_sequence_privilege(to_regrole('sicantik_notify_capture'), to_regclass('sicantik_notify.awake'), 'select')),
        ('select on sequence event_floor',
         has_sequence_privilege(to_regrole('sicantik_notify_capture'), to_regclass('sicantik_notify.event_floor'), 'select'))
    ) as w (right_name, held)
    where w.held is not true; -- null: the role or the object is gone
    if missing is not null then
        finding := format('role sicantik_notify_capture lacks: %s. No change of the host is captured', missing);
        remedy := 'run sicantik-notifyd migrate (it grants them again); sicantik-notifyd backfill makes up for what was lost meanwhile';
        select min(h.sound_at) into since from sicantik_notify.hook_check h;
        return next;
    end if;
    select string_agg(t.tgname, ', ') into missing
    from pg_trigger t
    where t.tgrelid = to_regclass('sicantik_notify.event') and not t.tgisinternal;
    if missing is not null then
        severity := 'warning';
        since := null;
        finding := format('somebody put triggers on table event: %s. What fails in them is a change that is not captured', missing);
        remedy := 'drop them';
        return next;
    end if;
    -- Triggers that no plan serves yet: new, changed, or not understood.
    for model, finding in
        select t.model, t.code
        from sicantik_notify.trigger t
        where t.active and t.trigger_type like 'on\_%'
          and to_regclass(format('public.%I', replace(t.model, '.', '_'))) is not null
          and not exists (select from sicantik_notify.capture_plan p
                          where p.active and p.model = t.model and t.code = any (p.triggers))
        order by t.code
    loop
        severity := 'warning';
        since := null;
        table_name := replace(model, '.', '_');
        finding := format('trigger %s does not hold yet: no hook was planned for it', finding);
        remedy := 'the daemon does that within a minute, or names what is wrong with the trigger in v_problem';
        return next;
    end loop;
    model := null;
    table_name := 'event';
    select case when m.is_called then m.last_value else 0 end
           - (select s.misses from sicantik_notify.capture_state s) into misses
    from sicantik_notify.miss m;
    if misses <> 0 then
        severity := 'alarm';
        select s.checked_at into since from sicantik_notify.capture_state s;
        finding := format('%s host writes were not captured since the daemon last looked', misses);
        remedy := 'the server''s log has the reasons ("was not captured"); the daemon raises the alarm "capture misses" from this';
        return next;
    end if;
    for finding in
        select format('setting %s is %L, which is no number: %s is used', s.key, s.value,
                      case s.key when 'capture_max_backlog_age' then '604800' else '1073741824' end)
        from sicantik_notify.setting s
        where s.key in ('capture_max_backlog_age', 'capture_max_backlog_bytes') and s.value !~ case s.key when 'capture_max_backlog_age' then '^[0-9]{1,12}$' else '^[0-9]{1,18}$' end
        union all
        select format('setting capture_wake is %L: notify is used', s.value)
        from sicantik_notify.setting s
        where s.key = 'capture_wake' and s.value not in ('notify', 'poll')
    loop
        severity := 'warning';
        since := null;
        remedy := 'update sicantik_notify.setting';
        return next;
    end loop;

    for plan in select * from sicantik_notify.capture_plan p where p.active order by p.model loop
        severity := 'alarm';
        model := plan.model;
        table_name := plan.table_name;
        select h.sound_at into since from sicantik_notify.hook_check h where h.model = plan.model;
        select c.oid into relation
        from pg_class c
        where c.oid = to_regclass(format('public.%I', plan.table_name)) and c.relkind in ('r', 'p');
        if not found then
            finding := format('public.%I does not exist, or is no table', plan.table_name);
            remedy := 'deactivate the triggers on this model, or install its module';
            return next;
            continue;
        end if;

        -- Columns: without id or a watched column the hook counts misses only; one that is only carried is left out.
        for kind in
            select x.must, string_agg(x.name, ', ' order by x.name) as names
            from (select u.name, true as must from unnest(plan.watched || 'id'::text) as u (name)
                  union all
                  select u.name, false from unnest(plan.read) as u (name)) x
            where not exists (select from pg_attribute a
                              where a.attrelid = relation and a.attname = x.name and a.attnum > 0 and not a.attisdropped)
            group by x.must
        loop
            severity := case when kind.must then 'alarm' else 'warning' end;
            finding := format('public.%I has no column %s%s; it has %s', plan.table_name, kind.names,
                              case when kind.must then ', which a trigger watches' else ', which a rule reads' end,
                              (select string_agg(a.attname, ', ' order by a.attname) from pg_attribute a
                               where a.attrelid = relation and a.attnum > 0 and not a.attisdropped));
            remedy := 'name an existing column in the trigger or rule, or add a row to field_alias';
            return next;
        end loop;
        select string_agg(u.name, ', ' order by u.name) into missing
        from unnest(plan.watched || plan.read) as u (name)
        where sicantik_notify.is_secret(plan.table_name, u.name);
        if missing is not null then
            severity := 'warning';
            finding := format('public.%I: %s may hold secrets and is not captured', plan.table_name, missing);
            remedy := 'take it out of the trigger or rule';
            return next;
        end if;

        -- Captured from the slot: slot_findings() looks after it.
        continue when exists (select from sicantik_notify.capture_slot_table t where t.table_name = plan.table_name and t.until_lsn is null);

        -- The function.
        severity := 'alarm';
        select f.* into function
        from pg_proc f
        where f.oid = to_regprocedure(format('sicantik_notify.%I()', 'capture_' || plan.table_name));
        if not found then
            finding := format('there is no hook on public.%I: its changes are not captured', plan.table_name);
            remedy := install || ', then sicantik-notifyd backfill: changes since the hook was lost may have been missed';
            return next;
            continue;
        end if;
        remedy := install;
        select c.checksum into noted
        from sicantik_notify.capture_publication c where c.model = plan.model order by c.id desc limit 1;
        stands := md5(function.prosrc);
        if pg_get_userbyid(function.proowner) <> 'sicantik_notify_capture' then
            finding := format('function capture_%s belongs to %s, not to sicantik_notify_capture (restored without owners?)',
                              plan.table_name, pg_get_userbyid(function.proowner));
            return next;
        end if;
        if not function.prosecdef then
            finding := format('function capture_%s was altered: security definer is gone', plan.table_name);
            return next;
        end if;
        if function.proconfig is distinct from sicantik_notify.capture_settings() then
            finding := format('function capture_%s was altered: its settings are %s', plan.table_name,
                              coalesce(array_to_string(function.proconfig, '; '), 'gone'));
            return next;
        end if;
        if stands is distinct from noted then
            finding := format('function capture_%s was altered: its body is not the one that was published', plan.table_name);
            return next;
        elsif stands <> md5(sicantik_notify.capture_body(plan.model)) then
            severity := 'warning';
            finding := format('the hook of public.%I is older than its plan: a column, a setting or a trigger changed', plan.table_name);
            remedy := 'the daemon publishes it within a minute; if not: select * from sicantik_notify.publish_capture()';
            return next;
        end if;

        -- Its triggers.
        severity := 'alarm';
        for kind in
            select *
            from (values ('sicantik_notify_insert', 4, null, 'new_rows'),
                         ('sicantik_notify_update', 16, 'old_rows', 'new_rows')) as k (name, event, old_rows, new_rows)
        loop
            remedy := install;
            select t.* into trig from pg_trigger t where t.tgrelid = relation and t.tgname = kind.name;
            if not found then
                finding := format('trigger %s is missing on public.%I: changes are not captured', kind.name, plan.table_name);
                remedy := install || ', then sicantik-notifyd backfill for what was missed';
                return next;
            elsif trig.tgenabled not in ('O', 'A') then
                finding := format('trigger %s on public.%I is disabled: changes are not captured', kind.name, plan.table_name);
                remedy := format('alter table public.%I enable trigger %I; -- then sicantik-notifyd backfill, for what was missed',
                                 plan.table_name, kind.name);
                return next;
            elsif trig.tgfoid <> function.oid or trig.tgqual is not null or trig.tgattr::text <> ''
                  or trig.tgtype <> (kind.event + case plan.shape when 'row' then 1 else 0 end)
                  or (plan.shape = 'statement' and (trig.tgoldtable is distinct from kind.old_rows::name
                                                    or trig.tgnewtable is distinct from kind.new_rows::name)) then
                finding := format('trigger %s on public.%I was altered, or is of another form than capture_plan.shape', kind.name,
                                  plan.table_name);
                return next;
            end if;
        end loop;
        if plan.shape = 'statement' and exists (select from pg_inherits i where i.inhparent = relation) then
            finding := format('public.%I has partitions or children: their writes do not fire a statement trigger on it', plan.table_name);
            remedy := format('update sicantik_notify.capture_plan set shape = ''row'' where model = %L, then hooks install', plan.model);
            return next;
        end if;
    end loop;
    return query select * from sicantik_notify.slot_findings();
end
$hook_findings$;
comment on function sicantik_notify.hook_findings() is 'How the hooks differ from what they should be; no rows: all is well';
