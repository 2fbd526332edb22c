-- capture_source(model): the CREATE OR REPLACE FUNCTION statement of one table's hook, from its row in capture_plan.
--
-- Names are resolved in pg_attribute and quoted with %I; values go in with %L. Nothing that a user typed is copied.
-- What the function promises, and why each line is there, is said in the text it generates: a DBA reads that.
create or replace function sicantik_notify.capture_source(p_model text)
returns text
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $capture_source$
declare
    plan         sicantik_notify.capture_plan;
    relation     oid;
    col          record;
    is_comparable boolean;
    differs      text;
    watched_diff text[] := '{}'; -- "this watched column changed"
    read_diff    text[] := '{}';
    any_diff     text[] := '{}';
    changed_list text[] := '{}';
    old_pairs    text[] := '{}';
    new_pairs    text[] := '{}';
    has_write_date boolean := false;
    condition    text;
    body         text;
    guard_head   text;
    guard_tail   text;
    wake         text := '';
    max_age_ms   bigint;
    max_bytes    bigint;
    setting      record;
begin
    select * into plan from sicantik_notify.capture_plan p where p.model = p_model;
    if not found then
        raise exception using
            errcode = 'no_data_found',
            message = format('capture_plan has no row for model %s', p_model),
            hint = 'An active trigger on that model makes one.';
    end if;
    relation := to_regclass(format('public.%I', plan.table_name));

    for col in
        select a.attname::text as name,
               format_type(a.atttypid, a.atttypmod) as type,
               a.attname = any (plan.watched) as watched,
               a.attname = any (plan.read) as read,
               exists (select from sicantik_notify.noise_column x
                       where x.model in ('*', plan.model) and x.column_name = a.attname) as noise
        from pg_attribute a
        where a.attrelid = relation and a.attnum > 0 and not a.attisdropped
        order by a.attname
    loop
        has_write_date := has_write_date or col.name = 'write_date';
        continue when not (col.watched or col.read or (plan.any_write and not col.noise));
        -- json, xml, point … have no equality: try the comparison on nulls of the type, fall back to text.
        begin
            execute format('select null::%s is distinct from null::%1$s', col.type);
            is_comparable := true;
        exception when undefined_function or undefined_object then
            is_comparable := false;
        end;
        if plan.shape = 'row' then
            differs := format('v_old -> %1$L is distinct from v_new -> %1$L', col.name);
        elsif is_comparable then
            differs := format('o.%1$I is distinct from n.%1$I', col.name);
        else
            differs := format('o.%1$I::text is distinct from n.%1$I::text', col.name);
        end if;
        changed_list := changed_list || format('case when %s then %L end', differs, col.name);
        if col.watched then
            watched_diff := watched_diff || differs;
        elsif plan.any_write and not col.noise then
            any_diff := any_diff || differs;
        else
            read_diff := read_diff || differs;
        end if;
        if col.watched then
            old_pairs := old_pairs || format(
                case plan.shape when 'row' then '%1$L, v_old -> %1$L' else '%1$L, o.%1$I' end, col.name);
        end if;
        if col.watched or col.read then
            new_pairs := new_pairs || format(
                case plan.shape when 'row' then '%1$L, v_new -> %1$L' else '%1$L, n.%1$I' end, col.name);
        end if;
    end loop;

    -- A column that is only read makes no event of its own, unless the row was written before in this very transaction
    -- (Odoo writes a row twice: write_date stays the same), so that a transaction's last image is complete.
    condition := array_to_string(watched_diff || any_diff, E'\n              or ');
    if cardinality(read_diff) > 0 then
        condition := concat_ws(E'\n              or ', nullif(condition, ''),
            case when not has_write_date then array_to_string(read_diff, E'\n              or ')
                 when plan.shape = 'row' then
                     format('(v_old -> ''write_date'' is not distinct from v_new -> ''write_date'' and (%s))',
                            array_to_string(read_diff, ' or '))
                 else
                     format('(o.write_date is not distinct from n.write_date and (%s))',
                            array_to_string(read_diff, ' or '))
            end);
    end if;
    condition := coalesce(nullif(condition, ''), 'false');

    select max(s.value) filter (where s.key = 'capture_wake') as wake,
           max(s.value) filter (where s.key = 'capture_max_backlog_age')::numeric as age,
           max(s.value) filter (where s.key = 'capture_max_backlog_bytes')::bigint as bytes
    into setting
    from sicantik_notify.setting s;
    max_age_ms := (coalesce(setting.age, 604800) * 1000)::bigint;
    max_bytes := coalesce(setting.bytes, 1073741824);

    if coalesce(setting.wake, 'notify') = 'notify' then
        -- The text of the wake-up: constant payload, and none while the daemon is known to look by itself.
        wake := $text$
        -- A hint only: a lost wake-up costs one poll interval, never an event.
        if v_stored > 0 and v_awake < v_now then
            perform pg_notify('sicantik_notify_event', '');
        end if;$text$;
    end if;

    guard_head := format($text$
        -- An earlier statement of this transaction was missed: do not try (and fail) again, but keep counting.
        if coalesce(current_setting('sicantik_notify.gave_up', true), '') = 'on' then
            perform nextval('sicantik_notify.miss');
            return null;
        end if;
        -- Never wait for our own table: a lock on it is a miss, not a delay of the host.
        lock table only sicantik_notify.event in row exclusive mode nowait;
        -- Nobody home for long, or too much waiting: count misses instead of filling the host's disk.
        select s.last_value into v_awake from sicantik_notify.awake s;
        v_now := (extract(epoch from clock_timestamp()) * 1000)::bigint;
        if v_now - v_awake > %s or pg_relation_size('sicantik_notify.event'::regclass) > %s then
            raise exception 'backlog of sicantik-notifyd is full';
        end if;$text$, max_age_ms, max_bytes);

    guard_tail := $text$
        get diagnostics v_stored = row_count;$text$ || wake || $text$
    exception when others then
        -- Whatever went wrong is ours: the host's statement goes on. A sequence counts the miss (it survives the
        -- host's rollback and needs no lock); the daemon sees it move and raises an alarm.
        begin
            perform nextval('sicantik_notify.miss');
            perform set_config('sicantik_notify.gave_up', 'on', true);
        exception when others then
            null; -- not even that: hooks verify says what is missing
        end;
    end;
    return null;
end
$text$;

    if not plan.active or relation is null then
        body := E'\nbegin\n    return null; -- no active trigger wants this table\nend\n';
    elsif plan.shape = 'statement' then
        body := $text$
declare
    v_awake  bigint;
    v_now    bigint;
    v_stored bigint;
begin
    begin -- the guard: from here on nothing can fail the host's statement
        if tg_op = 'INSERT' then$text$
        || case when plan.on_insert then format($text$
            if not exists (select from new_rows) then
                return null; -- an upsert that inserted nothing
            end if;%1$s
            insert into sicantik_notify.event (model, record_id, op, new)
            select %2$L, n.id, 'I'::"char", %3$s
            from new_rows n
            -- In a copy of the database this hook stays silent.
            where (select d.oid from pg_database d where d.datname = current_database()) = %4$s;$text$,
            replace(guard_head, E'\n        ', E'\n            '), plan.model, sicantik_notify.capture_object(new_pairs),
            (select d.oid from pg_database d where d.datname = current_database()))
        else $text$
            return null; -- no active trigger looks at inserts$text$ end
        || format($text$
        else
            if not exists (
                select
                from new_rows n
                left join old_rows o on o.id = n.id
                where o.id is null
              or %2$s
            ) then
                return null; -- nothing that a trigger watches has changed
            end if;%1$s
            -- A changed id is a new record here: the left join never loses a row.
            insert into sicantik_notify.event (model, record_id, op, changed, old, new)
            select %3$L, n.id, case when o.id is null then 'I' else 'U' end::"char",
                   array_remove(array[%4$s]::text[], null),
                   case when o.id is not null then %5$s end,
                   %6$s
            from new_rows n
            left join old_rows o on o.id = n.id
            where case when o.id is null
              or %2$s
                  -- In a copy of the database this hook stays silent. Asked only where a row matched.
                  then (select d.oid from pg_database d where d.datname = current_database()) = %7$s
                  else false end;
        end if;$text$,
            replace(guard_head, E'\n        ', E'\n            '), condition, plan.model,
            array_to_string(changed_list, ', '), sicantik_notify.capture_object(old_pairs),
            sicantik_notify.capture_object(new_pairs),
            (select d.oid from pg_database d where d.datname = current_database()))
        || guard_tail;
    else
        body := $text$
declare
    v_awake  bigint;
    v_now    bigint;
    v_stored bigint;
    v_old    jsonb;
    v_new    jsonb;
begin
    begin -- the guard: from here on nothing can fail the host's statement
        -- Columns are read through jsonb: an open session goes on after the host's ALTER TYPE or RENAME COLUMN.
        v_new := to_jsonb(new);
        if tg_op = 'UPDATE' then
            v_old := to_jsonb(old);
            if v_old -> 'id' = v_new -> 'id' and not (
                 $text$ || condition || $text$
            ) then
                return null; -- nothing that a trigger watches has changed
            end if;
        $text$ || case when plan.on_insert then '' else $text$else
            return null; -- no active trigger looks at inserts
        $text$ end || format($text$end if;%1$s
        insert into sicantik_notify.event (model, record_id, op, changed, old, new)
        select %2$L, (v_new ->> 'id')::bigint,
               case when tg_op = 'INSERT' or v_old -> 'id' <> v_new -> 'id' then 'I' else 'U' end::"char",
               case when tg_op = 'UPDATE' then array_remove(array[%3$s]::text[], null) end,
               case when tg_op = 'UPDATE' then %4$s end,
               %5$s
        -- In a copy of the database this hook stays silent.
        where (select d.oid from pg_database d where d.datname = current_database()) = %6$s;$text$,
            guard_head, plan.model, array_to_string(changed_list, ', '),
            sicantik_notify.capture_object(old_pairs), sicantik_notify.capture_object(new_pairs),
            (select d.oid from pg_database d where d.datname = current_database()))
        || guard_tail;
    end if;

    return format($text$create or replace function sicantik_notify.%I()
returns trigger
language plpgsql
security definer
-- Pinned: names cannot be redirected; a plan cached after a one-row write must not loop over a bulk write;
-- captured dates read the same whatever the session says. No timeout is set here: it would replace the host's own.
set search_path = pg_catalog, pg_temp
set enable_nestloop = off
set "DateStyle" = 'ISO, YMD'
set "TimeZone" = 'UTC'
as %L$text$, 'capture_' || plan.table_name, body);
end
$capture_source$;
comment on function sicantik_notify.capture_source(text) is
    'The statement that makes the hook function of a model''s table, generated from capture_plan';
