-- capture_body(model): the body of one table's hook function, from capture_plan. What it promises, and why each line is
-- there, is said in the text it generates: a DBA reads that (hooks sql).
--
-- Names are resolved in pg_attribute and quoted with %I, values with %L; nothing that a user typed is copied.
create or replace function sicantik_notify.capture_body(p_model text)
returns text
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $capture_body$
declare
    plan      sicantik_notify.capture_plan;
    relation  oid;
    is_row    boolean;
    col       record;
    differs   text;
    hits      text[] := '{}'; -- "this column changed, and a trigger looks for that"
    others    text[] := '{}'; -- "this column changed", of those that are only carried
    changed   text[] := '{}'; -- its name, where it changed
    old_pairs text[] := '{}';
    new_pairs text[] := '{}';
    watched   text[] := '{}';
    hit       text;
    complete  text;           -- hit, or a second write of the row that completes its image
    head      text;
    look      text;           -- does the write concern us?
    store     text;
begin
    select * into plan from sicantik_notify.capture_plan p where p.model = p_model;
    if not found then
        raise exception using
            errcode = 'no_data_found',
            message = format('capture_plan has no row for model %s', p_model),
            hint = 'An active trigger on that model makes one.';
    end if;
    relation := to_regclass(format('public.%I', plan.table_name));
    is_row := plan.shape = 'row';
    -- In the comment only letters, digits, underscores and dots: nothing ends a comment early.
    head := format($text$
-- Hook of %s (model %s), written by sicantik-notifyd from its triggers and rules; edits are lost.
-- It looks at the rows that were written and inserts into sicantik_notify.event, nothing else. Whatever goes wrong with
-- that stays in here: the write that fired the hook neither fails nor waits.
$text$, regexp_replace(plan.table_name, '[^A-Za-z0-9_]', '?', 'g'), regexp_replace(plan.model, '[^A-Za-z0-9_.]', '?', 'g'));
    if not plan.active or relation is null then
        return head || E'begin\n    return null; -- no active trigger wants this table\nend\n';
    end if;

    for col in select * from sicantik_notify.capture_columns(p_model) c loop
        differs := format(case when is_row then 'v_old -> %2$L is distinct from v_new -> %2$L'
                               when col.as_text then 'o.%1$I::text is distinct from n.%1$I::text'
                               else 'o.%1$I is distinct from n.%1$I' end, col.name, col.name);
        if col.watched or col.counted then
            hits := hits || differs;
            changed := changed || format('case when %s then %L end', differs, col.name);
        else
            others := others || differs;
        end if;
        if col.watched then
            watched := watched || col.name;
            old_pairs := old_pairs || format(case when is_row then '%2$L, v_old -> %2$L' else '%2$L, o.%1$I' end, col.name, col.name);
        end if;
        if col.carried then
            new_pairs := new_pairs || format(case when is_row then '%2$L, v_new -> %2$L' else '%2$L, n.%1$I' end, col.name, col.name);
        end if;
    end loop;

    -- A column that is only carried makes no event of its own, unless the row may have been written before in this very
    -- transaction (Odoo writes a row twice, and then write_date stays the same): so a transaction's last image is complete.
    hit := array_to_string(case when is_row then '{}' else array['o.id is null'] end || hits, E'\n or ');
    complete := hit;
    if cardinality(others) > 0 then
        complete := concat_ws(E'\n or ', nullif(hit, ''), case
            when not exists (select from pg_attribute a
                             where a.attrelid = relation and a.attname = 'write_date' and not a.attisdropped)
                then array_to_string(others, E'\n or ')
            else format(E'%s and (\n           %s)',
                        case when is_row then 'v_old -> ''write_date'' is not distinct from v_new -> ''write_date'''
                             else 'o.write_date is not distinct from n.write_date' end,
                        array_to_string(others, E'\n        or '))
        end);
    end if;
    complete := coalesce(nullif(complete, ''), 'false');

    if is_row then
        look := format($text$
        -- Columns are read through jsonb, by name: an open session goes on after the host's ALTER TYPE.
        v_new := to_jsonb(new);
        if not v_new ?& %1$L then
            raise exception 'a column that a trigger looks at is gone' using errcode = 'undefined_column';
        end if;
        if tg_op = 'UPDATE' then
            v_old := to_jsonb(old);
            v_is_new := v_old -> 'id' <> v_new -> 'id'; -- a changed id is a new record
            if not v_is_new and not (
                    %2$s
            ) then
                return null; -- nothing changed that a trigger looks for
            end if;
        end if;
$text$, watched, sicantik_notify.capture_indent(complete, 16));
        store := format($text$
        insert into sicantik_notify.event (model, record_id, op, changed, old, new)
        select %1$L, (v_new ->> 'id')::bigint,
               case when v_is_new then 'I' else 'U' end::"char",
               case when not v_is_new then array_remove(array[
                   %2$s
               ]::text[], null) end,
               case when not v_is_new then %3$s end,
               %4$s;
$text$,
            plan.model, array_to_string(changed, E',\n                   '),
            sicantik_notify.capture_indent(sicantik_notify.capture_object(old_pairs), 15),
            sicantik_notify.capture_indent(sicantik_notify.capture_object(new_pairs), 15));
    else
        look := case when complete = hit then format($text$
        -- Does the write concern us? A changed id is a new record: the left join never loses a row.
        if tg_op = 'UPDATE' then
            if not exists (
                select
                from new_rows n
                left join old_rows o on o.id = n.id
                where %1$s
            ) then
                return null; -- nothing changed that a trigger looks for
            end if;
        end if;
$text$, sicantik_notify.capture_indent(hit, 18)) else format($text$
        -- Does the write concern us? A changed id is a new record: the left join never loses a row.
        if tg_op = 'UPDATE' then
            select bool_or(
                       %1$s),
                   bool_or(o.write_date is not distinct from n.write_date)
            into v_hit, v_again
            from new_rows n
            left join old_rows o on o.id = n.id;
            if v_hit is not true then
                if v_again is not true then
                    return null; -- nothing changed that a trigger looks for
                end if;
                -- The row may have been written before in this transaction (write_date is the same). Then a change of
                -- a column that events carry is stored too: the last image of a transaction is complete.
                if not exists (
                    select
                    from new_rows n
                    left join old_rows o on o.id = n.id
                    where %2$s
                ) then
                    return null;
                end if;
            end if;
        end if;
$text$, sicantik_notify.capture_indent(hit, 19), sicantik_notify.capture_indent(complete, 22)) end;
        store := format($text$
        insert into sicantik_notify.event (model, record_id, op, changed, old, new)
        select %1$L, n.id,
               case when o.id is null then 'I' else 'U' end::"char",
               case when o.id is not null then array_remove(array[
                   %2$s
               ]::text[], null) end,
               case when o.id is not null then %3$s end,
               %4$s
        from new_rows n
        left join old_rows o on o.id = n.id
        where %5$s;
$text$,
            plan.model, array_to_string(changed, E',\n                   '),
            sicantik_notify.capture_indent(sicantik_notify.capture_object(old_pairs), 15),
            sicantik_notify.capture_indent(sicantik_notify.capture_object(new_pairs), 15),
            sicantik_notify.capture_indent(complete, 10));
        if plan.on_insert then
            look := $text$
        if tg_op = 'INSERT' then
            if not exists (select from new_rows) then
                return null; -- an upsert that inserted nothing
            end if;
        end if;
$text$ || look;
            store := format($text$
        if tg_op = 'INSERT' then
            insert into sicantik_notify.event (model, record_id, op, new)
            select %1$L, n.id, 'I'::"char",
                   %2$s
            from new_rows n;
        else%3$s        end if;
$text$, plan.model, sicantik_notify.capture_indent(sicantik_notify.capture_object(new_pairs), 19),
                replace(store, E'\n        ', E'\n            '));
        end if;
    end if;
    if not plan.on_insert then
        look := $text$
        if tg_op = 'INSERT' then
            return null; -- no active trigger looks at inserts
        end if;
$text$ || look;
    end if;

    return head || $text$declare
    v_awake  bigint;  -- until when the daemon is known to look by itself (Unix time, milliseconds)
    v_now    bigint;
    v_stored bigint;  -- how many events
$text$ || case when is_row then $text$    v_old    jsonb;
    v_new    jsonb;
    v_is_new boolean := true;
$text$ else $text$    v_hit    boolean; -- a row changed in a column that a trigger looks for
    v_again  boolean; -- a row may have been written before in this transaction
$text$ end || $text$begin
    begin -- the guard: an error from here on is caught below$text$
        || look || sicantik_notify.capture_gate() || store || sicantik_notify.capture_tail();
end
$capture_body$;
comment on function sicantik_notify.capture_body(text) is 'The body of the hook function of a model''s table, generated from capture_plan';
