-- Functions, views, rights and defaults of schema version 8, as the binary of that version replaced them after its migrations.
-- Recorded once and never edited: upgrades begin here.

-- is_secret(table, column): columns of the host that no hook carries, by the names that Odoo and its modules give them.
create or replace function sicantik_notify.is_secret(p_table text, p_column text)
returns boolean
language sql
immutable
set search_path = pg_catalog, pg_temp
as $is_secret$
    select p_table in ('ir_config_parameter', 'res_users_apikeys', 'auth_totp_device')
        or p_column ~* '(passw|secret|token|api_?key|totp|credential|private_?key|(^|_)pin$)'
$is_secret$;
comment on function sicantik_notify.is_secret(text, text) is 'Whether a column of the host may hold a secret; hooks never carry it';

-- capture_columns(model): what the hook of a table does with each of its columns, from the table's row in capture_plan.
-- Names come from pg_attribute; columns that the plan names and the table lacks are not here (hook_findings() lists them).
-- Columns that hold secrets are left out whatever the plan says: who can read event must not learn them.
create or replace function sicantik_notify.capture_columns(p_model text)
returns table (
    name      text,    -- of the column
    watched   boolean, -- its change is captured, with the old value
    carried   boolean, -- its new value is stored
    counted   boolean, -- its change alone is captured, for on_write triggers
    as_text   boolean  -- it has no equality of its own (json, xml, point, json[] …)
)
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $capture_columns$
declare
    plan sicantik_notify.capture_plan;
    col  record;
begin
    select * into plan from sicantik_notify.capture_plan p where p.model = p_model;
    for col in
        select a.attname::text as name, format_type(a.atttypid, a.atttypmod) as type,
               t.typtype = 'b' and t.typnamespace = 'pg_catalog'::regnamespace and t.typcategory not in ('A', 'C') as plain,
               a.attname = any (plan.watched) as watched,
               a.attname = any (plan.read) as read,
               plan.any_write and not exists (
                   select from sicantik_notify.noise_column x
                   where x.model in ('*', plan.model) and x.column_name = a.attname) as counted
        from pg_attribute a
        join pg_type t on t.oid = a.atttypid
        where a.attrelid = to_regclass(format('public.%I', plan.table_name)) and a.attnum > 0 and not a.attisdropped
          and a.attname !~ '[[:cntrl:]]' -- the generated text is laid out by lines
        order by a.attname
    loop
        continue when not (col.watched or col.read or col.counted)
                   or sicantik_notify.is_secret(plan.table_name, col.name);
        name := col.name;
        watched := col.watched;
        carried := col.watched or col.read;
        counted := col.counted and not col.watched;
        -- An array or a composite finds out only at run time that an element has no equality. A type of the host is never
        -- tried: a domain's CHECK would run the host's code, here, as our owner. PostgreSQL's own types are.
        as_text := not col.plain;
        if not as_text then
            begin
                execute format('select null::%s is distinct from null::%1$s', col.type);
            exception when others then
                as_text := true;
            end;
        end if;
        return next;
    end loop;
end
$capture_columns$;
comment on function sicantik_notify.capture_columns(text) is 'Part of capture_body: what the hook does with each column';

-- capture_object(pairs): a jsonb_build_object call over 'name', value pairs, one a line; several, joined, where there are
-- more than a function call may have arguments (100). capture_indent(text, n): its further lines moved n places right.
create or replace function sicantik_notify.capture_object(p_pairs text[])
returns text
language sql
immutable
set search_path = pg_catalog, pg_temp
as $capture_object$
    select coalesce(
        string_agg(E'jsonb_build_object(\n    ' || chunk.pairs || ')', E'\n|| ' order by chunk.number),
        '''{}''::jsonb')
    from (
        select (p.position - 1) / 45 as number, string_agg(p.pair, E',\n    ' order by p.position) as pairs
        from unnest(p_pairs) with ordinality as p (pair, position)
        group by 1
    ) chunk
$capture_object$;
comment on function sicantik_notify.capture_object(text[]) is 'Part of capture_body: a jsonb object from name and value pairs';

create or replace function sicantik_notify.capture_indent(p_text text, p_places integer)
returns text
language sql
immutable
set search_path = pg_catalog, pg_temp
as $capture_indent$ select replace(p_text, E'\n', E'\n' || repeat(' ', p_places)) $capture_indent$;
comment on function sicantik_notify.capture_indent(text, integer) is 'Part of capture_body: moves lines right';

-- capture_gate(): the part of every hook between "this write concerns us" and the insert; capture_tail(): what follows it.
create or replace function sicantik_notify.capture_gate()
returns text
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $capture_gate$
declare
    max_age   bigint;
    max_bytes bigint;
begin
    -- A value that is no number counts as the default; hook_findings() says so.
    select coalesce(max(s.value) filter (where s.key = 'capture_max_backlog_age' and s.value ~ '^[0-9]{1,12}$'), '604800'),
           coalesce(max(s.value) filter (where s.key = 'capture_max_backlog_bytes' and s.value ~ '^[0-9]{1,18}$'), '1073741824')
    into max_age, max_bytes
    from sicantik_notify.setting s;
    return format($text$
        -- In a copy of this database the hook is silent (the path of a table's file names its database).
        if pg_relation_filepath('sicantik_notify.event') !~ '/%6$s/[0-9]+$' then
            return null;
        end if;

        -- An earlier write of this transaction was missed: trying again would only cost time, so just count.
        if current_setting('sicantik_notify.gave_up', true) = 'on' then
            perform nextval(%1$s); -- sicantik_notify.miss
            return null;
        end if;

        -- Never wait for our own table: if somebody has locked it, that is a miss, not a delay of the host.
        lock table only sicantik_notify.event in row exclusive mode nowait;

        -- Nobody home for %2$s s, or more than %3$s bytes waiting: count misses instead of filling the host's disk.
        -- (The file never shrinks: its size is compared with what it was when event was last empty.)
        v_now := extract(epoch from clock_timestamp()) * 1000;
        v_awake := coalesce(pg_sequence_last_value('sicantik_notify.awake'), v_now);
        if v_now - v_awake > %4$s
           or pg_relation_size('sicantik_notify.event') + pg_relation_size(%5$s) -- event and its long values
              - coalesce(pg_sequence_last_value('sicantik_notify.event_floor'), 0) > %3$s
        then
            raise exception 'too many events wait for sicantik-notifyd' using errcode = 'configuration_limit_exceeded';
        end if;
$text$, coalesce(to_regclass('sicantik_notify.miss')::oid, 0), max_age, max_bytes, max_age * 1000,
        coalesce((select c.reltoastrelid from pg_class c where c.oid = to_regclass('sicantik_notify.event')), 0),
        -- The database that the installation is bound to: in a copy the hooks stay silent, whoever publishes them there,
        -- until somebody arms the copy.
        coalesce((select i.database_oid from sicantik_notify.installation i),
                 (select d.oid from pg_database d where d.datname = current_database())));
end
$capture_gate$;
comment on function sicantik_notify.capture_gate() is 'Part of capture_body: what is asked before an event is stored';

create or replace function sicantik_notify.capture_tail()
returns text
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $capture_tail$
declare
    wake text := '';
begin
    -- A transaction that has notified cannot be prepared: where the server allows two-phase commit, the daemon polls.
    if current_setting('max_prepared_transactions') = '0'
       and not exists (select from sicantik_notify.setting s where s.key = 'capture_wake' and s.value = 'poll')
    then
        wake := $text$
        -- Wake the daemon, unless it is known to look by itself, and never where a full queue could fail the commit.
        -- It is a hint: a lost one costs one poll interval, never an event.
        get diagnostics v_stored = row_count;
        if v_stored > 0 and v_awake < v_now and pg_notification_queue_usage() < 0.5 then
            perform pg_notify('sicantik_notify_event', '');
        end if;
$text$;
    end if;
    return wake || format($text$
    exception when others then -- everything but a cancel, which is the host's
        -- The host's write goes on. A sequence counts the miss: it survives a rollback and needs no lock. The daemon
        -- sees it move and raises an alarm. It is named by its oid, so that it counts even if our schema is closed to us.
        begin
            perform set_config('sicantik_notify.gave_up', 'on', true);
            raise log 'sicantik-notifyd: a write of %% was not captured: %% (%%)', tg_relid::regclass, sqlerrm, sqlstate;
            perform nextval(%s); -- sicantik_notify.miss
        exception when others then
            null; -- not even that: hooks verify says what is missing
        end;
    end;
    return null;
end
$text$, coalesce(to_regclass('sicantik_notify.miss')::oid, 0));
end
$capture_tail$;
comment on function sicantik_notify.capture_tail() is 'Part of capture_body: the wake-up, and what happens to errors';

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

-- capture_source(model): the CREATE OR REPLACE FUNCTION statement of one table's hook.
create or replace function sicantik_notify.capture_source(p_model text)
returns text
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $capture_source$
declare
    body text := sicantik_notify.capture_body(p_model);
    mark text := 'hook';
begin
    -- A quote that the body does not contain, whatever names the host's columns have.
    while position('$' || mark in body) > 0 loop
        mark := mark || '_';
    end loop;
    return format($text$create or replace function sicantik_notify.%1$I()
returns trigger
language plpgsql
-- Runs as sicantik_notify_capture, which may insert into event and use its sequences, nothing else: who writes the
-- table needs no right on our schema, and the function has none on the host.
security definer
-- Pinned: names cannot be redirected; a plan cached after a one-row write must not loop over a bulk write;
-- captured dates read the same whatever the session says. No timeout is set here: it would replace the host's own.
set search_path = pg_catalog, pg_temp
set enable_nestloop = off
set "DateStyle" = 'ISO, YMD'
set "TimeZone" = 'UTC'
as $text$,
        'capture_' || (select p.table_name from sicantik_notify.capture_plan p where p.model = p_model))
        || '$' || mark || '$' || body || '$' || mark || '$';
end
$capture_source$;
comment on function sicantik_notify.capture_source(text) is 'The statement that makes the hook function of a model''s table';

-- capture_settings(): pg_proc.proconfig of a hook function, as capture_source() makes it.
create or replace function sicantik_notify.capture_settings()
returns text[]
language sql
immutable
set search_path = pg_catalog, pg_temp
as $capture_settings$
    select array['search_path=pg_catalog, pg_temp', 'enable_nestloop=off', 'DateStyle=ISO, YMD', 'TimeZone=UTC']
$capture_settings$;
comment on function sicantik_notify.capture_settings() is 'The settings that a hook function carries';

-- note_publication(model): one more row of history, if the function that stands is not the one noted last.
create or replace function sicantik_notify.note_publication(p_model text)
returns void
language sql
set search_path = pg_catalog, pg_temp
as $note_publication$
    insert into sicantik_notify.capture_publication (model, checksum, source)
    select p.model, md5(f.prosrc), pg_get_functiondef(f.oid)
    from sicantik_notify.capture_plan p
    join pg_proc f on f.oid = to_regprocedure(format('sicantik_notify.%I()', 'capture_' || p.table_name))
    where p.model = p_model
      and md5(f.prosrc) is distinct from (
          select c.checksum from sicantik_notify.capture_publication c where c.model = p.model order by c.id desc limit 1)
$note_publication$;
comment on function sicantik_notify.note_publication(text) is 'Writes the history of the hook functions';

-- publish_capture(): replaces the body of every installed hook function that is not what its plan asks for. No lock and no
-- right on a host table is needed for that. It never creates a function: installing hooks is the DBA's (hooks install).
--
-- Publishing is serialised by an advisory lock, and only a changed text is published: CREATE OR REPLACE of one function by
-- two sessions fails ("tuple concurrently updated"). The owner stays the capture role, whose member the owner is.
create or replace function sicantik_notify.publish_capture()
returns table (model text, published boolean, checksum text)
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $publish_capture$
declare
    plan     record;
    function pg_proc;
begin
    perform pg_advisory_xact_lock(hashtextextended('sicantik_notify.publish_capture', 0));
    for plan in select p.model, p.table_name from sicantik_notify.capture_plan p order by p.model loop
        select f.* into function
        from pg_proc f
        where f.oid = to_regprocedure(format('sicantik_notify.%I()', 'capture_' || plan.table_name));
        continue when not found; -- not installed: hook_findings() says so
        model := plan.model;
        -- Where somebody else owns it (a restore without owners), only the DBA can mend that; hook_findings() says so.
        published := pg_get_userbyid(function.proowner) = 'sicantik_notify_capture'
            and (md5(function.prosrc) <> md5(sicantik_notify.capture_body(plan.model))
                 or not function.prosecdef
                 or function.proconfig is distinct from sicantik_notify.capture_settings());
        if published then
            execute sicantik_notify.capture_source(plan.model);
        end if;
        perform sicantik_notify.note_publication(plan.model);
        select md5(f.prosrc) into checksum from pg_proc f where f.oid = function.oid;
        return next;
    end loop;
end
$publish_capture$;
comment on function sicantik_notify.publish_capture() is
    'Replaces the bodies of installed hooks whose plan changed; the daemon calls it after each change of configuration';

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
        remedy := 'run sicantik-notifyd migrate (it grants them again); see the misses for what was lost meanwhile';
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
        where s.key in ('capture_max_backlog_age', 'capture_max_backlog_bytes') and s.value !~ '^[0-9]{1,12}$'
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

        -- The function.
        severity := 'alarm';
        select f.* into function
        from pg_proc f
        where f.oid = to_regprocedure(format('sicantik_notify.%I()', 'capture_' || plan.table_name));
        if not found then
            finding := format('there is no hook on public.%I: its changes are not captured', plan.table_name);
            remedy := install || '; see backfill for changes since the hook was lost';
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
                return next;
            elsif trig.tgenabled not in ('O', 'A') then
                finding := format('trigger %s on public.%I is disabled: changes are not captured', kind.name, plan.table_name);
                remedy := format('alter table public.%I enable trigger %I', plan.table_name, kind.name);
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
end
$hook_findings$;
comment on function sicantik_notify.hook_findings() is 'How the hooks differ from what they should be; no rows: all is well';

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

-- host_identity(): which database this is, and whether it is a neutralised copy. Nothing else of ir_config_parameter is
-- shown. plpgsql, so that no dependency on a host table arises (it would break the host's upgrades).
-- An error (no such table, no right) is the caller's: unreadable means no delivery.
create or replace function sicantik_notify.host_identity()
returns table (database_uuid text, neutralized boolean, system_identifier text, database_oid oid)
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
as $host_identity$
begin
    return query
    select (select p.value from public.ir_config_parameter p where p.key = 'database.uuid')::text,
           coalesce((select lower(p.value) in ('true', '1', 't', 'yes') from public.ir_config_parameter p
                     where p.key = 'database.is_neutralized'), false),
           (select c.system_identifier::text from pg_control_system() c),
           (select d.oid from pg_database d where d.datname = current_database());
end
$host_identity$;
comment on function sicantik_notify.host_identity() is 'Which database this is: uuid, cluster, oid, neutralised or not';

-- delivery_permit(secret hash): may a daemon whose state directory holds that secret send from this database?
-- Asked inside every claim (promise P13: a copy never sends). A dump keeps the uuid but not cluster and oid; a file copy
-- keeps all three but not the daemon's state directory; a neutralised database says so itself.
create or replace function sicantik_notify.delivery_permit(p_secret_hash text)
returns table (allowed boolean, reason text)
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
as $delivery_permit$
declare
    bound sicantik_notify.installation;
    here  record;
begin
    begin
        select * into strict here from sicantik_notify.host_identity();
    exception when others then
        return query select false, 'the identity of the host database cannot be read: ' || sqlerrm;
        return;
    end;
    select * into bound from sicantik_notify.installation;
    return query
    select v.reason is null, coalesce(v.reason, 'armed')
    from (select case
        when bound.only_row is null then 'the installation is not bound to a database: run sicantik-notifyd migrate'
        when here.neutralized then 'this database is neutralised (database.is_neutralized): a test copy never sends'
        when bound.database_uuid is distinct from here.database_uuid then
            format('database.uuid is %s, but the installation is bound to %s: a duplicated or restored copy? '
                   'If this is the real one, run sicantik-notifyd arm', here.database_uuid, bound.database_uuid)
        when bound.system_identifier <> here.system_identifier or bound.database_oid <> here.database_oid then
            'this is another cluster or database than the one the installation is bound to (dump and restore?). '
            'If this is the real one, run sicantik-notifyd arm'
        when not exists (select from sicantik_notify.arming a where a.secret_hash = p_secret_hash) then
            'this daemon is not armed: its state directory holds no secret that this database knows. '
            'If it should send, run sicantik-notifyd arm on this machine'
    end as reason) v;
end
$delivery_permit$;
comment on function sicantik_notify.delivery_permit(text) is 'Whether a daemon may send from this database, and if not, why';

-- bind_installation(): ties a new installation to the database it was made in. Does nothing where it is tied already.
create or replace function sicantik_notify.bind_installation()
returns void
language sql
security definer
set search_path = pg_catalog, pg_temp
as $bind_installation$
    insert into sicantik_notify.installation (database_uuid, system_identifier, database_oid)
    select h.database_uuid, h.system_identifier, h.database_oid from sicantik_notify.host_identity() h
    on conflict (only_row) do nothing
$bind_installation$;
comment on function sicantik_notify.bind_installation() is 'Ties a new installation to the database it was made in';

-- arm(secret hash, label, rebind): lets the daemon that holds the secret send. The first daemon of a new installation
-- arms itself while the binding holds and nobody was ever armed; everything else is an operator's decision (rebind).
create or replace function sicantik_notify.arm(p_secret_hash text, p_label text, p_rebind boolean)
returns boolean
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $arm$
declare
    here record;
begin
    perform pg_advisory_xact_lock(hashtextextended('sicantik_notify.arm', 0));
    select * into strict here from sicantik_notify.host_identity();
    if not p_rebind and (
        exists (select from sicantik_notify.arming)
        or not exists (select from sicantik_notify.installation i
                       where i.database_uuid is not distinct from here.database_uuid
                         and i.system_identifier = here.system_identifier and i.database_oid = here.database_oid)
    ) then
        return false;
    end if;
    if p_rebind then
        -- Another database than before: secrets of the old one's daemons must not send from both.
        delete from sicantik_notify.arming
        where exists (select from sicantik_notify.installation i
                      where i.database_uuid is distinct from here.database_uuid
                         or i.system_identifier <> here.system_identifier or i.database_oid <> here.database_oid);
        update sicantik_notify.installation
        set database_uuid = here.database_uuid, system_identifier = here.system_identifier,
            database_oid = here.database_oid, bound_at = clock_timestamp();
    end if;
    insert into sicantik_notify.arming (secret_hash, label) values (p_secret_hash, p_label)
    on conflict (secret_hash) do update set label = excluded.label, armed_at = clock_timestamp();
    return true;
end
$arm$;
comment on function sicantik_notify.arm(text, text, boolean) is 'Lets a daemon send from this database (see the command arm)';

-- ensure_partitions(now, months): makes the monthly partitions of attempt, log and decision, this month and so many ahead, the daily
-- ones of event_history, today and a week ahead, and those that rows in a DEFAULT partition belong to; such rows are moved there.
-- Returns the names of those it made. Called by `migrate`, and by the daemon at its start and every hour.
--
-- A partition is made as a table of its own and then attached, which lets readers and writers of its parent go on; only the
-- DEFAULT partition, which should be empty, is locked. A lock that is not had in a second is an error (55P03): the next call tries
-- again, and nobody waits behind us.
create or replace function sicantik_notify.ensure_partitions(p_now timestamptz default clock_timestamp(), p_months integer default 3)
returns setof text
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
set "TimeZone" = 'UTC'
set lock_timeout = '1s'
as $ensure_partitions$
declare
    kind     record;
    first_at timestamptz;
    after_at timestamptz;
    part     text;
begin
    perform pg_advisory_xact_lock(hashtextextended('sicantik_notify.ensure_partitions', 0));
    for kind in
        select p.*, p.parent || '_default' as beside
        from (values ('attempt', 'started_at', '_YYYY_MM', 'month', interval '1 month', p_months),
                     ('log', 'finished_at', '_YYYY_MM', 'month', interval '1 month', p_months),
                     ('decision', 'decided_at', '_YYYY_MM', 'month', interval '1 month', p_months),
                     ('event_history', 'evaluated_at', '_YYYY_MM_DD', 'day', interval '1 day', 7)
             ) as p (parent, key, suffix, unit, step, ahead)
    loop
        for first_at in execute format(
            'select generate_series(date_trunc($1, $2), date_trunc($1, $2) + $3 * $4, $4)'
            ' union select distinct date_trunc($1, %I) from sicantik_notify.%I order by 1', kind.key, kind.beside)
            using kind.unit, p_now, kind.ahead, kind.step
        loop
            part := kind.parent || to_char(first_at, kind.suffix);
            after_at := first_at + kind.step;
            continue when to_regclass(format('sicantik_notify.%I', part)) is not null;
            execute format('create table sicantik_notify.%I (like sicantik_notify.%I including all)', part, kind.parent);
            if kind.parent = 'attempt' then
                execute format('alter table sicantik_notify.%I set (vacuum_truncate = off)', part);
            end if;
            execute format('comment on table sicantik_notify.%I is %L', part,
                           format('%s of %s', kind.parent, to_char(first_at, ltrim(replace(kind.suffix, '_', '-'), '-'))));
            -- Locked before it is looked at: nothing may fall into it between the two.
            execute format('lock table only sicantik_notify.%I in access exclusive mode', kind.beside);
            execute format('with moved as (delete from only sicantik_notify.%I where %I >= %L and %I < %L returning *)'
                           ' insert into sicantik_notify.%I select * from moved',
                           kind.beside, kind.key, first_at, kind.key, after_at, part);
            execute format('alter table sicantik_notify.%I attach partition sicantik_notify.%I for values from (%L) to (%L)',
                           kind.parent, part, first_at, after_at);
            return next part;
        end loop;
    end loop;
end
$ensure_partitions$;
comment on function sicantik_notify.ensure_partitions(timestamptz, integer) is
    'Makes the partitions of months and days ahead of time, and empties the DEFAULT partitions';

-- drop_event_history(now): drops the days of event_history that are older than setting event_history_days. Returns the names of
-- those it dropped. A lock that is not had in two seconds is an error: the next call tries again, and nobody waits behind us.
create or replace function sicantik_notify.drop_event_history(p_now timestamptz default clock_timestamp())
returns setof text
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
set "TimeZone" = 'UTC'
set lock_timeout = '2s'
as $drop_event_history$
declare
    days integer := 7;
    oldest date;
    part text;
begin
    perform pg_advisory_xact_lock(hashtextextended('sicantik_notify.ensure_partitions', 0));
    select s.value::integer into days
    from sicantik_notify.setting s
    where s.key = 'event_history_days' and s.value ~ '^\s*[0-9]{1,6}\s*$';
    oldest := p_now::date - coalesce(days, 7);
    for part in
        select c.relname
        from pg_inherits i
        join pg_class c on c.oid = i.inhrelid
        where i.inhparent = 'sicantik_notify.event_history'::regclass and c.relname ~ '^event_history_\d{4}_\d\d_\d\d$'
          and to_date(right(c.relname, 10), 'YYYY_MM_DD') < oldest
        order by 1
    loop
        execute format('drop table sicantik_notify.%I', part);
        return next part;
    end loop;
    delete from sicantik_notify.event_history_default d where d.evaluated_at < oldest;
end
$drop_event_history$;
comment on function sicantik_notify.drop_event_history(timestamptz) is 'Drops the days of event_history that are too old';

-- capture_misses(): host writes that were not captured since the last look. Moves the mark, raises the alarm "capture
-- misses" and keeps the count in it until somebody deletes it from problem, all in one transaction: a miss is never silent,
-- whoever dies when. Also notes until when each hook was sound, and says so when one was not for a while (hook_check).
--
-- A sequence may jump ahead when the server crashes (it logs 32 values at once), or when a standby takes over. Then, once,
-- the number is an upper bound. A crash resets the server's statistics; that is how it shows, since a crash of a single
-- process restarts the others without a new postmaster.
create or replace function sicantik_notify.capture_misses()
returns table (missed bigint, unknown boolean, since timestamptz)
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $capture_misses$
declare
    seen      sicantik_notify.capture_state; -- locked: two daemons look one after the other
    counted   bigint;
    epoch     timestamptz;
    line      integer;
    now_at    constant timestamptz := clock_timestamp();
    all_missed bigint;
    bound     boolean;
    plan      record;
begin
    select * into seen from sicantik_notify.capture_state for update;
    select case when m.is_called then m.last_value else 0 end into counted from sicantik_notify.miss m;
    select b.stats_reset into epoch from pg_stat_bgwriter b;
    line := ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::integer;
    since := seen.checked_at;
    if counted < seen.misses then -- somebody set the sequence back
        missed := counted;
        unknown := true;
    else
        missed := counted - seen.misses;
        unknown := missed > 0 and seen.checked_at is not null
                   and (seen.server_epoch is distinct from epoch or seen.timeline is distinct from line);
    end if;

    all_missed := missed;
    bound := unknown;
    if missed > 0 or unknown then
        if exists (select from sicantik_notify.problem p where p.key = 'capture misses') then
            all_missed := seen.alarm_misses + missed;
            bound := seen.alarm_bound or unknown;
        end if;
        insert into sicantik_notify.problem as p (key, since, severity, summary, remedy)
        values ('capture misses', coalesce(seen.checked_at, now_at), 'alarm', '',
                'the server''s log has the reasons ("was not captured"). Look at what changed since then, fire the triggers for '
                'it, then delete from sicantik_notify.problem where key = ''capture misses''')
        on conflict (key) do update set last_seen = now_at;
        update sicantik_notify.problem p
        set summary = format(case when bound then '%s host writes at most (the server crashed or moved, the count is a bound)'
                                  else '%s host writes' end
                             || ' between %s and %s were not captured: nobody was told of them',
                             all_missed, p.since::timestamptz(0), now_at::timestamptz(0))
        where p.key = 'capture misses';
    else
        all_missed := seen.alarm_misses;
        bound := seen.alarm_bound;
    end if;
    update sicantik_notify.capture_state s
    set misses = counted, server_epoch = epoch, timeline = line, checked_at = now_at, alarm_misses = all_missed,
        alarm_bound = bound, unknown_since = case when unknown then coalesce(seen.checked_at, now_at) else s.unknown_since end;

    for plan in
        select p.model, p.table_name, h.sound_at, h.finding as before, f.finding
        from sicantik_notify.capture_plan p
        left join sicantik_notify.hook_check h on h.model = p.model
        left join (select x.model, string_agg(x.finding, '; ') as finding
                   from sicantik_notify.hook_findings() x where x.severity = 'alarm' group by x.model) f on f.model = p.model
        where p.active
    loop
        if plan.finding is null and plan.before is not null and plan.sound_at is not null then
            insert into sicantik_notify.problem as p (key, since, severity, summary, remedy)
            values ('hook gap of ' || plan.table_name, plan.sound_at, 'alarm',
                    format('between %s and %s changes of %s may not have been captured: %s', plan.sound_at::timestamptz(0),
                           now_at::timestamptz(0), plan.table_name, plan.before),
                    format('look at what changed then, fire the triggers for it, then delete from sicantik_notify.problem where key = %L',
                           'hook gap of ' || plan.table_name))
            on conflict (key) do update
            set last_seen = now_at, summary = excluded.summary;
        end if;
        insert into sicantik_notify.hook_check as h (model, sound_at, finding)
        values (plan.model, case when plan.finding is null then now_at end, plan.finding)
        on conflict (model) do update
        set sound_at = coalesce(excluded.sound_at, h.sound_at), finding = excluded.finding;
    end loop;
    return next;
end
$capture_misses$;
comment on function sicantik_notify.capture_misses() is 'Host writes that were not captured since the last look';

-- Every change of configuration moves config_version in its own transaction and wakes the daemon at its commit.
create or replace function sicantik_notify.configuration_changed()
returns trigger
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $configuration_changed$
begin
    update sicantik_notify.config_version set version = version + 1, changed_at = clock_timestamp();
    perform pg_notify('sicantik_notify_config', '');
    return null;
end
$configuration_changed$;
comment on function sicantik_notify.configuration_changed() is 'Trigger: configuration changed';

create or replace function sicantik_notify.touch_updated_at()
returns trigger
language plpgsql
set search_path = pg_catalog, pg_temp
as $touch_updated_at$
begin
    new.updated_at := clock_timestamp();
    return new;
end
$touch_updated_at$;
comment on function sicantik_notify.touch_updated_at() is 'Trigger: sets updated_at';

-- Messages of an inactive rule leave the claim's index and come back when the rule is active again. Those that wait for
-- its rate limit are outside of it already, and stay so.
create or replace function sicantik_notify.rule_parks_messages()
returns trigger
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $rule_parks_messages$
begin
    if new.active then
        update sicantik_notify.queue q set waiting_for = null
        where q.rule_id = new.id and q.state = 'pending' and q.waiting_for = 'rule_inactive';
    else
        update sicantik_notify.queue q set ready = false, waiting_for = 'rule_inactive'
        where q.rule_id = new.id and q.state = 'pending' and q.waiting_for is distinct from 'rule_inactive'
          and q.waiting_for is distinct from 'rate_limit';
    end if;
    return null;
end
$rule_parks_messages$;
comment on function sicantik_notify.rule_parks_messages() is 'Trigger: parks and unparks the messages of a rule';

do $triggers$
declare
    watched text;
begin
    foreach watched in array array['setting', 'field_alias', 'value_alias', 'noise_column', 'trigger', 'template', 'template_map',
                                   'rule', 'provider', 'provider_secret'] loop
        execute format('create or replace trigger configuration_changed after insert or update or delete or truncate'
                       ' on sicantik_notify.%I for each statement execute function sicantik_notify.configuration_changed()', watched);
    end loop;
    foreach watched in array array['trigger', 'template', 'rule', 'provider'] loop
        execute format('create or replace trigger touch_updated_at before update on sicantik_notify.%I'
                       ' for each row execute function sicantik_notify.touch_updated_at()', watched);
    end loop;
    create or replace trigger rule_parks_messages after update of active on sicantik_notify.rule
        for each row when (old.active is distinct from new.active) execute function sicantik_notify.rule_parks_messages();
end
$triggers$;

-- show_phone(number): the number for operators and the daemon, a masked one for viewers.
create or replace function sicantik_notify.show_phone(p_phone text)
returns text
language sql
stable
set search_path = pg_catalog, pg_temp
as $show_phone$
    select case
        when pg_has_role(current_user, 'sicantik_notify_operator', 'usage')
          or pg_has_role(current_user, 'sicantik_notifyd', 'usage') then p_phone
        else left(p_phone, 5) || '****' || right(p_phone, 3)
    end
$show_phone$;
comment on function sicantik_notify.show_phone(text) is 'A phone number, masked for viewers';

-- A new rule gets its row of rate_state: without one its messages wait.
create or replace function sicantik_notify.rule_begins()
returns trigger
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $rule_begins$
begin
    insert into sicantik_notify.rate_state (rule_id) values (new.id) on conflict (rule_id) do nothing;
    return null;
end
$rule_begins$;
comment on function sicantik_notify.rule_begins() is 'Trigger: a new rule gets its rate state';
create or replace trigger rule_begins after insert on sicantik_notify.rule
    for each row execute function sicantik_notify.rule_begins();

-- rate_period(name): minute, hour or day as an interval.
create or replace function sicantik_notify.rate_period(p_period text)
returns interval
language sql
immutable
set search_path = pg_catalog, pg_temp
as $rate_period$
    select case p_period when 'minute' then interval '1 minute' when 'hour' then interval '1 hour' else interval '24 hours' end
$rate_period$;
comment on function sicantik_notify.rate_period(text) is 'The period of a rate limit';

-- The next three read an index and nothing else, whatever the statistics say: asked every second, while hundreds of thousands may
-- wait. rate_waits(rule): does a message wait for the rule's limit?
create or replace function sicantik_notify.rate_waits(p_rule bigint)
returns boolean
language sql
stable
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set enable_bitmapscan = off
as $rate_waits$
    select exists (select from sicantik_notify.queue q
                   where q.rule_id = p_rule and q.state = 'pending' and q.waiting_for = 'rate_limit' limit 1)
$rate_waits$;
comment on function sicantik_notify.rate_waits(bigint) is 'Whether a message waits for its rule''s rate limit';

-- rate_ready(rule, most): how many of the rule's messages stand ready; counted up to `most`.
create or replace function sicantik_notify.rate_ready(p_rule bigint, p_most integer)
returns bigint
language sql
stable
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set enable_bitmapscan = off
set enable_sort = off
as $rate_ready$
    select count(*)
    from (select from sicantik_notify.queue q where q.rule_id = p_rule and q.state = 'pending' and q.ready
          order by q.scheduled_at limit p_most) x
$rate_ready$;
comment on function sicantik_notify.rate_ready(bigint, integer) is 'How many of a rule''s messages stand ready';

-- rate_next(rule, only urgent, how many): the next messages that get room, locked; those that another session holds are passed by.
create or replace function sicantik_notify.rate_next(p_rule bigint, p_urgent boolean, p_many bigint)
returns setof bigint
language sql
volatile
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set enable_bitmapscan = off
set enable_sort = off
as $rate_next$
    select q.id
    from sicantik_notify.queue q
    where q.rule_id = p_rule and q.state = 'pending' and q.waiting_for = 'rate_limit' and q.urgent >= p_urgent
    order by q.urgent desc, q.priority desc, q.scheduled_at, q.id
    limit p_many
    for update of q skip locked
$rate_next$;
comment on function sicantik_notify.rate_next(bigint, boolean, bigint) is 'The next messages that get room within a rule''s limit, locked';

-- rate_room(rule): how many more of a rule's messages may become ready; empty: the rule has no limit. An estimate without
-- a lock, so that what is over its limit does not even enter the claim's index; the claim itself counts exactly. None while others of
-- the rule wait for room: they come first.
create or replace function sicantik_notify.rate_room(p_rule bigint)
returns bigint
language sql
stable
set search_path = pg_catalog, pg_temp
as $rate_room$
    select case when sicantik_notify.rate_waits(r.id) then 0
                else greatest(0, r.rate_limit_count - coalesce(s.used, 0)
                    + (select count(*) from sicantik_notify.rate_usage u
                       where u.rule_id = r.id and u.ended_at <= (select sicantik_notify.clock()) - sicantik_notify.rate_period(r.rate_limit_period))
                    - sicantik_notify.rate_ready(r.id, r.rate_limit_count))
           end
    from sicantik_notify.rule r
    left join sicantik_notify.rate_state s on s.rule_id = r.id
    where r.id = p_rule and r.rate_limit_enabled
$rate_room$;
comment on function sicantik_notify.rate_room(bigint) is 'How many more messages of a rule may become ready now; empty: no limit';

-- window_opens(send_window, time zone, instant): the earliest instant, not before the given one, at which a rule may send; the given
-- one itself where the window is open then or there is none. Days and times are those of the clock on the wall: where it
-- is set forward, a time that does not exist is as much later; where it is set back, the second of the two counts.
-- A time zone that does not exist is taken for the office's (setting timezone), and for UTC where that does not either.
create or replace function sicantik_notify.window_opens(p_window text, p_timezone text, p_at timestamptz)
returns timestamptz
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $window_opens$
declare
    zone     text;
    local_at timestamp;
    part     text[];
    first    integer;
    last     integer;
    day      date;
    starts   timestamptz;
    ends     timestamptz;
    earliest timestamptz;
    names    constant jsonb := '{"mon": 1, "tue": 2, "wed": 3, "thu": 4, "fri": 5, "sat": 6, "sun": 7,
                                 "sen": 1, "sel": 2, "rab": 3, "kam": 4, "jum": 5, "sab": 6, "min": 7}';
begin
    if p_window is null or p_at is null then
        return p_at;
    end if;
    foreach zone in array array[p_timezone, (select s.value from sicantik_notify.setting s where s.key = 'timezone'), 'UTC'] loop
        begin
            local_at := p_at at time zone zone;
            exit when local_at is not null;
        exception when invalid_parameter_value then
            null;
        end;
    end loop;
    for part in
        select regexp_match(lower(p), '^\s*(?:([a-z]{3})(?:-([a-z]{3}))?\s+)?(\d\d:\d\d)-(\d\d:\d\d)\s*$')
        from regexp_split_to_table(p_window, ',') p
    loop
        continue when part is null;
        first := coalesce((names ->> part[1])::integer, 1);
        last := coalesce((names ->> part[2])::integer, case when part[1] is null then 7 else first end);
        -- From yesterday (a window over midnight may still be open) to a week ahead.
        for i in -1..8 loop
            day := local_at::date + i;
            continue when case when first <= last then extract(isodow from day)::integer not between first and last
                               else extract(isodow from day)::integer between last + 1 and first - 1 end;
            starts := (day + part[3]::interval) at time zone zone;
            ends := (day + part[4]::interval + case when part[4]::interval <= part[3]::interval then interval '1 day' else interval '0' end)
                    at time zone zone;
            if ends > p_at and ends > starts then
                earliest := least(earliest, greatest(starts, p_at));
                exit;
            end if;
        end loop;
    end loop;
    return coalesce(earliest, p_at);
end
$window_opens$;
comment on function sicantik_notify.window_opens(text, text, timestamptz) is
    'When a rule''s send_window is open next; the given instant itself if it is open then';

-- storm_admit(rule, messages): how many of so many new messages pass the storm guard: no more than storm_limit in ten minutes (counted
-- by whole minutes, so a little less). One transaction of a rule counts at a time: the lock lasts until its commit.
create or replace function sicantik_notify.storm_admit(p_rule bigint, p_messages integer)
returns integer
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $storm_admit$
declare
    most   integer;
    before bigint;
    now_at timestamptz;
    pass   integer;
begin
    select r.storm_limit into most from sicantik_notify.rule r where r.id = p_rule;
    if most is null or p_messages <= 0 then
        return p_messages;
    end if;
    perform pg_advisory_xact_lock(hashtextextended('sicantik_notify.storm', p_rule));
    now_at := sicantik_notify.clock();
    delete from sicantik_notify.storm_count c
    where c.rule_id = p_rule and c.minute < date_trunc('minute', now_at - interval '10 minutes');
    select coalesce(sum(c.passed), 0) into before from sicantik_notify.storm_count c where c.rule_id = p_rule;
    pass := least(p_messages, greatest(0, most - before));
    insert into sicantik_notify.storm_count as c (rule_id, minute, passed, held)
    values (p_rule, date_trunc('minute', now_at), pass, p_messages - pass)
    on conflict (rule_id, minute) do update set passed = c.passed + excluded.passed, held = c.held + excluded.held;
    return pass;
end
$storm_admit$;
comment on function sicantik_notify.storm_admit(bigint, integer) is 'How many of so many new messages pass the storm guard of a rule';

-- batch_take(rule, series, messages): reserves places in the slots of a batch series: each message takes the first slot with fewer
-- than batch_size, slots are batch_interval apart, and the first one is now where the last one is over. Returns the slot that stood
-- before and how many it had: message i (from 0) goes at slot_at + ⌊(taken + i) / batch_size⌋ × batch_interval.
create or replace function sicantik_notify.batch_take(p_rule bigint, p_series text, p_messages integer)
returns table (slot_at timestamptz, taken integer)
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $batch_take$
declare
    size   integer;
    apart  interval;
    now_at timestamptz;
begin
    select r.batch_size, make_interval(mins => r.batch_interval) into strict size, apart
    from sicantik_notify.rule r where r.id = p_rule;
    insert into sicantik_notify.batch_series (rule_id, series, slot_at, taken) values (p_rule, p_series, '-infinity', 0)
    on conflict (rule_id, series) do nothing;
    select b.slot_at, b.taken into slot_at, taken
    from sicantik_notify.batch_series b where b.rule_id = p_rule and b.series = p_series for update;
    now_at := sicantik_notify.clock();
    if slot_at + apart <= now_at then
        slot_at := now_at;
        taken := 0;
    end if;
    if p_messages > 0 then
        update sicantik_notify.batch_series b
        set slot_at = batch_take.slot_at + (batch_take.taken + p_messages - 1) / size * apart,
            taken = (batch_take.taken + p_messages - 1) % size + 1
        where b.rule_id = p_rule and b.series = p_series;
    end if;
    return next;
end
$batch_take$;
comment on function sicantik_notify.batch_take(bigint, text, integer) is 'Reserves places in the slots of a batch series';

-- normal_phone(text): the E.164 number in what a person typed, or null. The same as the daemon's own reading (src/host/phone.rs; a
-- test holds the two against each other), and where it cannot know, null: a foreign number with a 0 after its country code,
-- and text in other scripts. A foreign number is not looked up in its country's numbering plan.
--
-- What one part of the text is, without separators:
create or replace function sicantik_notify.normal_phone_part(p_text text)
returns text
language plpgsql
immutable
set search_path = pg_catalog, pg_temp
as $normal_phone_part$
declare
    digits constant text := regexp_replace(p_text, '[^0-9]', '', 'g');
    plus   constant boolean := coalesce(substring(p_text from '[0-9+]') = '+', false);
    mobile constant text := '^8[1-35-9][0-9]{7,10}$';
    home   text;
    abroad text;
begin
    if digits like '0062%' then
        home := substr(digits, 5);
    elsif digits like '00%' then
        -- 00 before 8… can be read in two ways.
        if substr(digits, 3) !~ mobile then
            abroad := substr(digits, 3);
        end if;
    elsif digits like '0%' then
        home := substr(digits, 2);
    elsif digits like '62%' then
        home := substr(digits, 3);
    elsif plus then
        abroad := digits;
    elsif digits like '8%' then
        home := digits;
    end if;
    if home is not null then
        home := regexp_replace(home, '^0', '');
        return case when home ~ mobile then '+62' || home end;
    end if;
    -- The first digits tell how long a country code is; a 0 behind it may belong to the number or not.
    if abroad ~ '^[1-9][0-9]{7,14}$'
       and abroad !~ '^(1|7|2[07]|3[0-469]|4[013-9]|5[1-8]|6[0-6]|8[1246]|9[0-58]|[2-9][0-9]{2})0'
       and abroad !~ '^62' then
        return '+' || abroad;
    end if;
    return null;
end
$normal_phone_part$;
comment on function sicantik_notify.normal_phone_part(text) is 'The number that one part of a text is, or null';

create or replace function sicantik_notify.normal_phone(p_text text)
returns text
language plpgsql
immutable
set search_path = pg_catalog, pg_temp
as $normal_phone$
declare
    -- Blanks, dashes and invisible marks of Unicode, as escapes: what an editor shows as nothing.
    blanks    constant text := E'[\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000\u0085]';
    marks     constant text := E'[\u00ad\u00b7\u2010-\u2015\u2022\u2212\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u2069\ufeff]';
    latin     constant text := E'[\u00aa\u00b5\u00ba\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u024f]';
    plain     text := regexp_replace(regexp_replace(regexp_replace(p_text, blanks, ' ', 'g'), marks, '-', 'g'), latin, 'x', 'g');
    piece     text;
    part      text;
    found     text;
begin
    if plain is null or plain ~ E'[^\u0001-\u007f]' then
        return null;
    end if;
    -- Letters and some signs always end a number, a plus begins one.
    for piece in
        select p from regexp_split_to_table(replace(regexp_replace(plain, '[A-Za-z,;|&\n\r]', E'\u0001', 'g'), '+', E'\u0001+'), E'\u0001') p
    loop
        if strpos(piece, '/') > 0 then
            for part in select p from regexp_split_to_table(piece, '/') p loop
                found := sicantik_notify.normal_phone_part(part);
                if found is not null then
                    return found;
                end if;
            end loop;
        end if;
        found := sicantik_notify.normal_phone_part(piece);
        if found is not null then
            return found;
        end if;
        for part in select p from regexp_split_to_table(piece, E'[ \t\u000b\u000c]+') p where p ~ '^(0|\+|62)' loop
            found := sicantik_notify.normal_phone_part(part);
            if found is not null then
                return found;
            end if;
        end loop;
    end loop;
    return null;
end
$normal_phone$;
comment on function sicantik_notify.normal_phone(text) is 'The E.164 number in what a person typed, or null where there is none';

-- retire_partitions(now): drops the months of log, attempt and decision that ended more than log_retention_days ago. A month stays as long as
-- an attempt in it has no answer, or belongs to a message that is not finished. Returns the names of those it dropped.
-- Dropping locks the table for an instant, and is not waited for longer than a second (55P03: try again later).
create or replace function sicantik_notify.retire_partitions(p_now timestamptz default clock_timestamp())
returns setof text
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
set "TimeZone" = 'UTC'
set lock_timeout = '1s'
as $retire_partitions$
declare
    days  constant text := (select s.value from sicantik_notify.setting s where s.key = 'log_retention_days');
    limit_at timestamptz;
    part  record;
    busy  boolean;
begin
    -- Not a number, or none: nothing is thrown away.
    if days is null or days !~ '^[1-9][0-9]{0,4}$' then
        return;
    end if;
    limit_at := p_now - make_interval(days => days::integer);
    perform pg_advisory_xact_lock(hashtextextended('sicantik_notify.ensure_partitions', 0));
    delete from sicantik_notify.batch_series b where b.slot_at < p_now - interval '7 days';
    for part in
        select c.relname as name, p.relname as parent
        from pg_inherits i
        join pg_class c on c.oid = i.inhrelid
        join pg_class p on p.oid = i.inhparent
        where p.relnamespace = 'sicantik_notify'::regnamespace and c.relnamespace = p.relnamespace
          and p.relname in ('attempt', 'log', 'decision')
          and case when c.relname ~ ('^' || p.relname || '_[0-9]{4}_[0-9]{2}$')
                   then to_date(right(c.relname, 7), 'YYYY_MM') + interval '1 month' <= limit_at end
        order by c.relname
    loop
        if part.parent = 'attempt' then
            execute format('select exists (select from sicantik_notify.%I a where a.finished_at is null)'
                           ' or exists (select from sicantik_notify.queue q join sicantik_notify.%I a on a.message_id = q.id)',
                           part.name, part.name) into busy;
            continue when busy;
        end if;
        execute format('drop table sicantik_notify.%I', part.name);
        return next part.name;
    end loop;
end
$retire_partitions$;
comment on function sicantik_notify.retire_partitions(timestamptz) is 'Drops months of log, attempts and decisions that are older than log_retention_days';

-- provider_resume(name): an operator has repaired an account and does not wait for the next probe.
create or replace function sicantik_notify.provider_resume(p_name text)
returns void
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $provider_resume$
declare
    v_id bigint;
begin
    select p.id into v_id from sicantik_notify.provider p where p.name = p_name;
    if v_id is null then
        raise exception 'there is no provider %', p_name
            using errcode = 'no_data_found', hint = 'Their names are in sicantik_notify.v_provider.';
    end if;
    -- Half-open, and checked: one message goes first.
    update sicantik_notify.provider_health h
    set open_until = sicantik_notify.clock(), checked_at = sicantik_notify.clock(), probe_until = null, openings = 0
    where h.provider_id = v_id and h.open_until is not null;
    update sicantik_notify.provider_health h set next_send_at = null
    where h.provider_id = v_id and h.next_send_at > sicantik_notify.clock();
    -- The daemons let waiting messages try again.
    update sicantik_notify.config_version set version = version + 1, changed_at = clock_timestamp();
    perform pg_notify('sicantik_notify_config', '');
end
$provider_resume$;
comment on function sicantik_notify.provider_resume(text) is
    'Lets a message try a paused provider at once; the circuit closes if the provider takes it';

-- host_partner(ids): what delivery needs of partners. Read through to_jsonb, because columns differ between host versions
-- (mobile is absent on saas~18.4, the whatsapp columns come with SICANTIK) and no dependency on them may arise.
create or replace function sicantik_notify.host_partner(p_ids bigint[])
returns table (id bigint, name text, whatsapp_number text, mobile text, phone text, opted_in boolean, active boolean, lang text)
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
as $host_partner$
begin
    return query
    select (d.doc ->> 'id')::bigint, d.doc ->> 'name', d.doc ->> 'whatsapp_number', d.doc ->> 'mobile', d.doc ->> 'phone',
           coalesce((d.doc ->> 'whatsapp_opt_in')::boolean, false), coalesce((d.doc ->> 'active')::boolean, false), d.doc ->> 'lang'
    from (select to_jsonb(p.*) as doc from public.res_partner p where p.id = any (p_ids)) d;
end
$host_partner$;
comment on function sicantik_notify.host_partner(bigint[]) is 'Names, numbers and consent of partners of the host';

-- host_reference(names): which records external ids (module.name) stand for. Only the owner may read ir_model_data.
create or replace function sicantik_notify.host_reference(p_names text[])
returns table (name text, model text, record_id bigint)
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
as $host_reference$
begin
    return query
    select d.module || '.' || d.name, d.model::text, d.res_id::bigint
    from public.ir_model_data d
    where (d.module, d.name) in (select split_part(n, '.', 1), substr(n, strpos(n, '.') + 1) from unnest(p_names) n)
    order by 1;
end
$host_reference$;
comment on function sicantik_notify.host_reference(text[]) is 'Records of the host by external id';

-- host_group_members(reference): active internal users of a group, implied groups expanded (hosts from 18.2 on do not
-- store implied members), with their partner. The reference is an external id, a database id or a name in any language;
-- several group_ids in the answer mean that the name is ambiguous.
create or replace function sicantik_notify.host_group_members(p_group text)
returns table (group_id bigint, partner_id bigint)
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
as $host_group_members$
begin
    return query
    with recursive wanted as (
        select d.res_id::bigint as id
        from public.ir_model_data d
        where d.model = 'res.groups' and d.module || '.' || d.name = p_group
        union
        select g.id::bigint from public.res_groups g where g.id::text = p_group
        union
        select g.id::bigint
        from public.res_groups g, jsonb_each_text(to_jsonb(g.*) -> 'name') n
        where jsonb_typeof(to_jsonb(g.*) -> 'name') = 'object' and n.value = p_group
    ), expanded as (
        select w.id as root, w.id as gid from wanted w
        union
        select e.root, r.gid::bigint from public.res_groups_implied_rel r join expanded e on r.hid = e.gid
    )
    select w.id, m.partner_id
    from wanted w
    left join (
        select distinct e.root, u.partner_id::bigint as partner_id
        from expanded e
        join public.res_groups_users_rel ur on ur.gid = e.gid
        join public.res_users u on u.id = ur.uid and u.active and not coalesce(u.share, false)
        join public.res_partner p on p.id = u.partner_id and p.active
    ) m on m.root = w.id
    order by 1, 2;
end
$host_group_members$;
comment on function sicantik_notify.host_group_members(text) is 'Members of a group of the host, with their partners';

-- host_inbound(numbers): when each number (E.164) last wrote to us: our own table, and Odoo's whatsapp_message where the
-- host has it (mobile_number_formatted holds digits without a plus; times are UTC without a zone).
create or replace function sicantik_notify.host_inbound(p_phones text[])
returns table (phone text, last_inbound_at timestamptz)
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
as $host_inbound$
begin
    return query
    select i.phone, i.last_inbound_at from sicantik_notify.inbound i where i.phone = any (p_phones);
    if to_regclass('public.whatsapp_message') is not null then
        begin
            return query
            select n.phone, max(m.create_date) at time zone 'UTC'
            from unnest(p_phones) as n (phone)
            join public.whatsapp_message m on m.mobile_number_formatted = ltrim(n.phone, '+') and m.message_type = 'inbound'
            group by n.phone;
        exception when undefined_column or insufficient_privilege then
            null; -- another version of that module: only our own table counts
        end;
    end if;
end
$host_inbound$;
comment on function sicantik_notify.host_inbound(text[]) is 'Last inbound message of each number';

-- host_senders(): active scheduled actions of the host that send WhatsApp messages as well: those of the module that this
-- daemon replaces, and those of other modules that name WhatsApp. plpgsql, so that no dependency on a host table arises. Without
-- the tables, or the right to read them, it says nothing: `check` tells that apart.
create or replace function sicantik_notify.host_senders()
returns table (cron_id bigint, name text, module text)
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
as $host_senders$
begin
    if not coalesce(has_table_privilege(to_regclass('public.ir_cron'), 'select')
                    and has_table_privilege(to_regclass('public.ir_model_data'), 'select'), false)
    then
        return;
    end if;
    return query
    select c.id::bigint, coalesce(to_jsonb(c.*) ->> 'cron_name', 'scheduled action ' || c.id), d.module::text
    from public.ir_cron c
    left join lateral (select x.module from public.ir_model_data x where x.model = 'ir.cron' and x.res_id = c.id limit 1) d on true
    where c.active
      and (d.module = 'sicantik_notification_automation'
           or (to_jsonb(c.*) ->> 'cron_name') ilike '%whatsapp%' or d.module ilike '%whatsapp%')
    order by c.id;
end
$host_senders$;
comment on function sicantik_notify.host_senders() is 'Active scheduled actions of the host that send WhatsApp messages as well';

-- host_blacklist(numbers): which of these numbers (E.164) stand on Odoo's own list, phone_blacklist of phone_validation. Odoo stores
-- E.164; rows in another notation, from an import, are normalised where their digits hold one of the numbers. Where the
-- host has no such table nobody is on it; where it cannot be read the error is the caller's: then nothing is sent.
create or replace function sicantik_notify.host_blacklist(p_phones text[])
returns table (phone text)
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
as $host_blacklist$
begin
    if to_regclass('public.phone_blacklist') is null then
        return;
    end if;
    return query
    select b.number::text from public.phone_blacklist b where b.number = any (p_phones) and b.active
    union
    select m.normal
    from (
        select case when exists (select from unnest(p_phones) p
                                 where strpos(regexp_replace(b.number, '[^0-9]', '', 'g'), right(p, 6)) > 0)
                    then sicantik_notify.normal_phone(b.number) end as normal
        from public.phone_blacklist b
        where b.active and (left(b.number, 1) <> '+' or translate(b.number, '+0123456789', '') <> '')
    ) m
    where m.normal = any (p_phones);
end
$host_blacklist$;
comment on function sicantik_notify.host_blacklist(text[]) is 'Which numbers stand on the host''s own blacklist';

-- blacklisted(numbers): which of these numbers (E.164) must get nothing, and why: our list first, then the host's.
create or replace function sicantik_notify.blacklisted(p_phones text[])
returns table (phone text, reason text)
language sql
stable
security definer
set search_path = pg_catalog, pg_temp
as $blacklisted$
    select distinct on (l.phone) l.phone, l.reason
    from (
        select b.phone, 1 as place, 'the number is on the blacklist' || coalesce(': ' || nullif(b.reason, ''), '') as reason
        from sicantik_notify.blacklist b
        where b.active and b.phone = any (p_phones)
        union all
        select h.phone, 2, 'the number is on the blacklist of Odoo (phone_blacklist)' from sicantik_notify.host_blacklist(p_phones) h
    ) l
    order by l.phone, l.place
$blacklisted$;
comment on function sicantik_notify.blacklisted(text[]) is 'Which numbers must get nothing, and why';

-- blacklist_add(number, reason, source): nothing more is sent to the number, in whatever notation it is given. Returns it as it is kept.
-- source stop: the recipient asked for it, and may take it back by writing a word of start_words.
create or replace function sicantik_notify.blacklist_add(p_number text, p_reason text default null, p_source text default 'operator')
returns text
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $blacklist_add$
declare
    normal constant text := sicantik_notify.normal_phone(p_number);
begin
    if normal is null then
        raise exception 'this is no number that a message could go to' using errcode = '22023',
            hint = 'write it as 08… or as +62…; a foreign one with its country code and without the 0 behind it';
    end if;
    insert into sicantik_notify.blacklist as b (phone, reason, source) values (normal, p_reason, coalesce(p_source, 'operator'))
    on conflict (phone) do update
    -- What a person put here stays theirs when the recipient writes STOP too; what STOP put here becomes theirs.
    set reason = case when not b.active then excluded.reason
                      when excluded.source = 'stop' and b.source <> 'stop' then b.reason
                      else coalesce(excluded.reason, b.reason) end,
        source = case when b.active and (b.source = 'operator' or excluded.source = 'stop') then b.source else excluded.source end,
        active = true, changed_at = sicantik_notify.clock();
    return normal;
end
$blacklist_add$;
comment on function sicantik_notify.blacklist_add(text, text, text) is
    'Daftar hitam: nothing more is sent to this number, in any notation';

-- blacklist_remove(number): messages may go to the number again, unless it stands on the host's own list. Returns it as it was kept.
create or replace function sicantik_notify.blacklist_remove(p_number text)
returns text
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $blacklist_remove$
declare
    normal constant text := sicantik_notify.normal_phone(p_number);
begin
    update sicantik_notify.blacklist b set active = false, changed_at = sicantik_notify.clock()
    where b.phone = normal and b.active;
    if not found then
        raise exception 'this number is not on the blacklist' using errcode = 'P0002',
            hint = 'see sicantik_notify.v_blacklist; what stands in Odoo''s own list is taken off in Odoo';
    end if;
    return normal;
end
$blacklist_remove$;
comment on function sicantik_notify.blacklist_remove(text) is 'Daftar hitam: messages may go to this number again';

-- What operators do to messages. Each locks the message's row first: a claim or a settlement of the same instant is over
-- then, and what is refused says what the message is now.

-- message_state(id): the state of a message, waiting or finished; an error where there is none.
create or replace function sicantik_notify.message_state(p_id bigint)
returns text
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $message_state$
declare
    found_state text;
begin
    select q.state into found_state from sicantik_notify.queue q where q.id = p_id for update;
    if found_state is null then
        select l.state into found_state from sicantik_notify.log l where l.id = p_id;
    end if;
    if found_state is null then
        raise exception 'there is no message %', p_id using errcode = 'P0002', hint = 'see sicantik_notify.v_queue';
    end if;
    return found_state;
end
$message_state$;
comment on function sicantik_notify.message_state(bigint) is 'State of a message, its row locked while it waits';

-- queue_process_now(id): the message goes with the next claim, without regard to its schedule and to quiet hours. Never skipped: blacklist,
-- rate limit, and whether this database may send at all.
create or replace function sicantik_notify.queue_process_now(p_id bigint)
returns text
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $queue_process_now$
declare
    state constant text := sicantik_notify.message_state(p_id);
    rule  sicantik_notify.rule;
begin
    if state not in ('pending', 'held') then
        raise exception 'message % is % and cannot be processed now', p_id,
            case state when 'processing' then 'being sent' else state end
            using errcode = '55000', hint = case when state in ('failed', 'skipped', 'cancelled') then 'queue_retry repeats it as a new message'
                                               else 'see sicantik_notify.v_queue' end;
    end if;
    select r.* into strict rule
    from sicantik_notify.queue q join sicantik_notify.rule r on r.id = q.rule_id where q.id = p_id;
    if not rule.active then
        raise exception 'message % waits for rule %, which is inactive', p_id, rule.code
            using errcode = '55000', hint = 'activate the rule first';
    end if;
    update sicantik_notify.queue q
    set state = 'pending', urgent = true, ready = true, waiting_for = null,
        scheduled_at = least(q.scheduled_at, sicantik_notify.clock())
    where q.id = p_id;
    return format('message %s is due now', p_id);
end
$queue_process_now$;
comment on function sicantik_notify.queue_process_now(bigint) is
    'Proses Sekarang: the message skips schedule and quiet hours, never blacklist or rate limit';

-- queue_retry(id): a message that waits for its next try, or is held, tries again at once; a finished one that was not sent is repeated
-- as a new message, whose id is returned.
create or replace function sicantik_notify.queue_retry(p_id bigint)
returns bigint
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $queue_retry$
declare
    state  text := sicantik_notify.message_state(p_id);
    again  bigint;
    become text;
begin
    if state in ('pending', 'held') then
        update sicantik_notify.queue q
        set state = 'pending', ready = false, waiting_for = nullif(nullif(nullif(q.waiting_for, 'storm_guard'), 'provider'), 'batch'),
            postponed = 0, scheduled_at = least(q.scheduled_at, sicantik_notify.clock())
        where q.id = p_id;
        return p_id;
    end if;
    -- Sent, but given up by its provider afterwards.
    if state = 'sent' and exists (select from sicantik_notify.receipt_furthest f where f.message_id = p_id and f.state = 'failed') then
        state := 'failed';
    end if;
    if state not in ('failed', 'skipped', 'cancelled') then
        raise exception 'message % is % and cannot be retried', p_id, case state when 'processing' then 'being sent' else state end
            using errcode = '55000';
    end if;
    -- One repetition at a time, whoever asks: the second one waits here and then sees the first one's message.
    perform pg_advisory_xact_lock(hashtextextended('sicantik_notify.retry', p_id));
    select r.id, r.state into again, become
    from (select q.id, 'waiting' as state from sicantik_notify.queue q where q.retry_of = p_id
          union all
          select l.id, l.state from sicantik_notify.log l where l.retry_of = p_id) r
    order by r.state in ('waiting', 'sent') desc, r.id desc
    limit 1;
    if again is not null then
        raise exception 'message % was repeated already, as message %, which is %', p_id, again, become
            using errcode = '55000', hint = format('look at message %s, and retry that one if it failed', again);
    end if;
    insert into sicantik_notify.queue (priority, rule_id, trigger_id, event_id, model, record_id, partner_id, partner_name, phone,
                                       template_key, context, changed_at, retry_of)
    select r.priority, r.id, t.id, l.event_id, l.model, l.record_id, l.partner_id, l.partner_name, l.phone,
           r.template_key, l.context, l.changed_at, l.id
    from sicantik_notify.log l
    join sicantik_notify.rule r on r.id = l.rule_id
    left join sicantik_notify.trigger t on t.code = l.trigger_code
    where l.id = p_id
    returning id into again;
    if again is null then
        raise exception 'the rule of message % does not exist any more: it cannot be repeated', p_id using errcode = '55000';
    end if;
    return again;
end
$queue_retry$;
comment on function sicantik_notify.queue_retry(bigint) is
    'Ulang Coba: tries a waiting or held message at once, or repeats a finished one that was not sent; returns the id';

-- queue_cancel(id): a message that is not under way ends as cancelled.
create or replace function sicantik_notify.queue_cancel(p_id bigint)
returns text
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $queue_cancel$
declare
    state constant text := sicantik_notify.message_state(p_id);
begin
    if state not in ('pending', 'held') then
        raise exception 'message % is % and cannot be cancelled', p_id, case state when 'processing' then 'being sent' else state end
            using errcode = '55000';
    end if;
    perform sicantik_notify.messages_end(array[p_id], 'cancelled', 'cancelled by ' || session_user);
    return format('message %s is cancelled', p_id);
end
$queue_cancel$;
comment on function sicantik_notify.queue_cancel(bigint) is 'Batalkan: a message that is not under way ends as cancelled';

-- messages_end(ids, state, reason): moves messages that are not under way from queue to log. Returns how many.
create or replace function sicantik_notify.messages_end(p_ids bigint[], p_state text, p_reason text)
returns bigint
language sql
volatile
set search_path = pg_catalog, pg_temp
as $messages_end$
    with gone as (
        delete from sicantik_notify.queue q where q.id = any (p_ids) and q.state in ('pending', 'held') returning q.*
    ), logged as (
        insert into sicantik_notify.log (id, state, rule_id, rule_code, trigger_code, event_id, model, record_id, partner_id,
            partner_name, phone, template_key, context, error, tries, possible_duplicate, changed_at, created_at, retry_of)
        select g.id, p_state, g.rule_id, r.code, t.code, g.event_id, g.model, g.record_id, g.partner_id,
               g.partner_name, g.phone, g.template_key, g.context, concat_ws('; ', p_reason, g.last_error), g.tries,
               g.possible_duplicate, g.changed_at, g.created_at, g.retry_of
        from gone g
        left join sicantik_notify.rule r on r.id = g.rule_id
        left join sicantik_notify.trigger t on t.id = g.trigger_id
        returning 1
    )
    select count(*) from logged
$messages_end$;
comment on function sicantik_notify.messages_end(bigint[], text, text) is 'Ends messages that are not under way';

-- enqueue(rule, partner, template, context, at): a message by hand (SICANTIK guide §7.3), to the partner's first valid number of whatsapp_number,
-- mobile and phone. The rule's limits, quiet hours and blacklist apply.
create or replace function sicantik_notify.enqueue(p_rule text, p_partner bigint, p_template text default null,
                                                   p_context jsonb default '{}', p_at timestamptz default null)
returns bigint
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $enqueue$
declare
    rule   sicantik_notify.rule;
    person record;
    number text;
    made   bigint;
begin
    select r.* into rule from sicantik_notify.rule r where r.code = p_rule;
    if rule.id is null then
        raise exception 'there is no rule %', p_rule using errcode = 'P0002', hint = 'see sicantik_notify.v_rule';
    end if;
    if not rule.active then
        raise exception 'rule % is inactive: its messages would wait', p_rule using errcode = '55000', hint = 'activate the rule first';
    end if;
    if not exists (select from sicantik_notify.template t
                   where t.template_key = coalesce(p_template, rule.template_key) and t.active) then
        raise exception 'there is no active template %', coalesce(p_template, rule.template_key) using errcode = 'P0002';
    end if;
    if jsonb_typeof(p_context) is distinct from 'object' then
        raise exception 'context must be a JSON object, such as {"partner_name": "Budi"}' using errcode = '22023';
    end if;
    select h.* into person from sicantik_notify.host_partner(array[p_partner]) h;
    if person.id is null then
        raise exception 'there is no partner %', p_partner using errcode = 'P0002';
    end if;
    number := coalesce(sicantik_notify.normal_phone(person.whatsapp_number), sicantik_notify.normal_phone(person.mobile),
                       sicantik_notify.normal_phone(person.phone));
    if number is null then
        raise exception 'partner % has no usable number in whatsapp_number, mobile or phone', p_partner using errcode = '22023';
    end if;
    insert into sicantik_notify.queue (priority, scheduled_at, rule_id, trigger_id, partner_id, partner_name, phone, template_key, context)
    select rule.priority, coalesce(p_at, sicantik_notify.clock()), rule.id, t.id, p_partner, person.name, number,
           coalesce(p_template, rule.template_key), p_context
    from sicantik_notify.trigger t
    where t.code = rule.trigger
    returning id into made;
    return made;
end
$enqueue$;
comment on function sicantik_notify.enqueue(text, bigint, text, jsonb, timestamptz) is
    'A message by hand: rule, partner, template (empty: the rule''s), values of the placeholders, not before when';

-- rule_release(code, limit): messages that the storm guard held go on, the oldest first; all of them without a limit. The rate limit holds.
create or replace function sicantik_notify.rule_release(p_code text, p_limit bigint default null)
returns bigint
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $rule_release$
declare
    rule  sicantik_notify.rule;
    moved bigint;
begin
    select r.* into rule from sicantik_notify.rule r where r.code = p_code;
    if rule.id is null then
        raise exception 'there is no rule %', p_code using errcode = 'P0002', hint = 'see sicantik_notify.v_rule';
    end if;
    -- Straight behind the limit, not through the claim's index.
    with meant as materialized (
        select q.id from sicantik_notify.queue q
        where q.rule_id = rule.id and q.state = 'held' and q.waiting_for = 'storm_guard'
        order by q.id
        limit p_limit
        for update skip locked
    )
    update sicantik_notify.queue q
    set state = 'pending', last_error = null,
        waiting_for = case when q.scheduled_at <= sicantik_notify.clock() and rule.rate_limit_enabled then 'rate_limit' end
    where q.id = any (array(select m.id from meant m));
    get diagnostics moved = row_count;
    return moved;
end
$rule_release$;
comment on function sicantik_notify.rule_release(text, bigint) is 'Lets messages go on that the storm guard held; returns how many';

-- rule_discard(code): messages that the storm guard held end as cancelled.
create or replace function sicantik_notify.rule_discard(p_code text)
returns bigint
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $rule_discard$
declare
    rule sicantik_notify.rule;
begin
    select r.* into rule from sicantik_notify.rule r where r.code = p_code;
    if rule.id is null then
        raise exception 'there is no rule %', p_code using errcode = 'P0002', hint = 'see sicantik_notify.v_rule';
    end if;
    return sicantik_notify.messages_end(
        array(select q.id from sicantik_notify.queue q
              where q.rule_id = rule.id and q.state = 'held' and q.waiting_for = 'storm_guard' order by q.id for update skip locked),
        'cancelled', 'discarded by ' || session_user);
end
$rule_discard$;
comment on function sicantik_notify.rule_discard(text) is 'Ends messages that the storm guard held; returns how many';

-- receipt_forget(how many): drops what is older than its retention, at most so many rows of each table. Returns how many. Owner's
-- right, since the daemon may not delete receipts. Indexes on received_at.
create or replace function sicantik_notify.receipt_forget(p_limit integer)
returns bigint
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $receipt_forget$
declare
    kept_since timestamptz := sicantik_notify.clock() - make_interval(days => (
        select s.value::integer from sicantik_notify.setting s where s.key = 'receipt_days'));
    waits_since timestamptz := sicantik_notify.clock() - make_interval(hours => (
        select s.value::integer from sicantik_notify.setting s where s.key = 'receipt_unmatched_hours'));
    dropped bigint := 0;
    n bigint;
    old text;
begin
    foreach old in array array['receipt', 'receipt_alias', 'inbound_message', 'meta_template_event'] loop
        execute format('delete from sicantik_notify.%I t where t.ctid = any (array(
                            select o.ctid from sicantik_notify.%I o where o.received_at < $1 limit $2))', old, old)
        using kept_since, p_limit;
        get diagnostics n = row_count;
        dropped := dropped + n;
    end loop;
    delete from sicantik_notify.receipt_inbox i
    where i.id = any (array(select o.id from sicantik_notify.receipt_inbox o where o.received_at < waits_since limit p_limit));
    get diagnostics n = row_count;
    return dropped + n;
end
$receipt_forget$;
comment on function sicantik_notify.receipt_forget(integer) is 'Drops receipts and inbound marks that are older than their retention';

-- inbound_take(provider, the provider's id, number, when, meaning): takes a message from a person, once. It opens the 24-hour window;
-- stop puts the number on the blacklist and enqueues one confirmation, start undoes what stop did and nothing that a person did,
-- opt_in is consent. Returns what was done: seen (it came before), taken, stopped, started or opted_in.
-- The confirmation passes the blacklist because its rule, system_stop_confirmation, does not respect it; no other rule's message does.
create or replace function sicantik_notify.inbound_take(p_provider bigint, p_external_id text, p_phone text, p_at timestamptz, p_meaning text)
returns text
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $inbound_take$
declare
    written_at timestamptz := least(p_at, sicantik_notify.clock());
begin
    insert into sicantik_notify.inbound_message (provider_id, external_id, phone, at, meaning)
    values (p_provider, p_external_id, p_phone, written_at, p_meaning)
    on conflict do nothing;
    if not found then
        return 'seen';
    end if;
    insert into sicantik_notify.inbound as i (phone, last_inbound_at)
    values (p_phone, written_at)
    on conflict (phone) do update set last_inbound_at = greatest(i.last_inbound_at, excluded.last_inbound_at);

    if p_meaning = 'stop' then
        insert into sicantik_notify.consent as c (phone, stopped_at)
        values (p_phone, written_at)
        on conflict (phone) do update set opted_in_at = null, stopped_at = excluded.stopped_at
        -- Stopped before: no second confirmation, unless a person has let messages through since.
        where c.stopped_at is null or not exists (select from sicantik_notify.blacklist b where b.phone = c.phone and b.active);
        if not found then
            return 'taken';
        end if;
        perform sicantik_notify.blacklist_add(p_phone, 'wrote a word of stop_words', 'stop');
        insert into sicantik_notify.queue (ready, priority, rule_id, trigger_id, phone, template_key, context, changed_at, reply_through)
        select true, r.priority, r.id, t.id, p_phone, r.template_key, '{}', written_at, p_provider
        from sicantik_notify.rule r
        left join sicantik_notify.trigger t on t.code = r.trigger
        where r.code = 'system_stop_confirmation' and r.active;
        return 'stopped';
    elsif p_meaning = 'start' then
        update sicantik_notify.consent c set stopped_at = null where c.phone = p_phone and c.stopped_at <= written_at;
        if not found then
            return 'taken';
        end if;
        if exists (select from sicantik_notify.blacklist b where b.phone = p_phone and b.active and b.source = 'stop') then
            perform sicantik_notify.blacklist_remove(p_phone);
        end if;
        return 'started';
    elsif p_meaning = 'opt_in' then
        insert into sicantik_notify.consent as c (phone, opted_in_at)
        values (p_phone, written_at)
        on conflict (phone) do update set opted_in_at = excluded.opted_in_at
        where c.stopped_at is null;
        return case when found then 'opted_in' else 'taken' end;
    end if;
    return 'taken';
end
$inbound_take$;
comment on function sicantik_notify.inbound_take(bigint, text, text, timestamptz, text) is
    'Takes a message from a person, once: window, stop, start, consent';

-- v_queue: every message, waiting or finished, with the guide's states (SICANTIK guide §8.1).
create view sicantik_notify.v_queue as
select q.id, q.state, r.code as rule, t.code as trigger, q.model, q.record_id, q.partner_id, q.partner_name,
       sicantik_notify.show_phone(q.phone) as phone, q.template_key, q.priority, q.scheduled_at, q.tries,
       case
           when q.state = 'processing' then 'in flight'
           when q.waiting_for = 'storm_guard' then 'storm guard: release or discard (rule_release, rule_discard)'
           when q.state = 'held' then 'held: ' || coalesce(q.last_error, 'a person must release or cancel it')
           when q.waiting_for = 'rule_inactive' or not r.active then 'rule inactive'
           when q.waiting_for = 'rate_limit' then
               'rate limit (' || r.rate_limit_count || ' per ' || r.rate_limit_period || ')'
               || coalesce(' until ' || greatest(u.next_end + sicantik_notify.rate_period(r.rate_limit_period),
                                                 sicantik_notify.clock())::timestamptz(0), '')
           when q.waiting_for = 'quiet_hours' and q.scheduled_at > sicantik_notify.clock() then 'quiet hours until ' || q.scheduled_at::timestamptz(0)
           when q.waiting_for = 'batch' and q.scheduled_at > sicantik_notify.clock() then 'batch slot at ' || q.scheduled_at::timestamptz(0)
           when exists (select from sicantik_notify.queue b where b.phone = q.phone and b.state = 'processing') then 'recipient busy'
           when q.waiting_for = 'provider' then 'a provider: ' || coalesce(q.last_error, 'none can take it')
           when not q.ready and q.scheduled_at > sicantik_notify.clock() then 'scheduled'
           else 'the daemon'
       end as waiting_for,
       q.possible_duplicate, q.last_error as error, null::text as provider_type, null::text as external_id,
       q.changed_at, q.created_at, null::timestamptz as finished_at, q.retry_of
from sicantik_notify.queue q
join sicantik_notify.rule r on r.id = q.rule_id
left join sicantik_notify.trigger t on t.id = q.trigger_id
left join (
    -- The place of the rule that becomes free next; those of calls under way are not known yet.
    select s.rule_id, (select min(x.ended_at) from sicantik_notify.rate_usage x where x.rule_id = s.rule_id) as next_end
    from sicantik_notify.rate_state s
) u on u.rule_id = q.rule_id
union all
select l.id, case when l.state = 'sent' and rf.state = 'failed' then 'failed' else l.state end, l.rule_code, l.trigger_code, l.model, l.record_id, l.partner_id, l.partner_name,
       sicantik_notify.show_phone(l.phone), l.template_key, null, null, l.tries,
       null,
       l.possible_duplicate, case when rf.state = 'failed' then coalesce(rf.error, l.error) else l.error end, l.provider_type, l.external_id,
       l.changed_at, l.created_at, l.finished_at, l.retry_of
from sicantik_notify.log l
left join lateral (
    select r.state, r.at, r.code, r.error from sicantik_notify.receipt r
    where r.message_id = l.id order by r.rank > 2 desc, r.attempt_id desc, r.rank desc limit 1) rf on true;
comment on view sicantik_notify.v_queue is 'Antrian: every message, waiting or finished; waiting_for says why it waits';

-- v_queue_summary: how much waits, by state, rule and reason.
create view sicantik_notify.v_queue_summary as
select q.state, r.code as rule,
       coalesce(q.waiting_for, case when q.ready then 'due' when q.state = 'pending' then 'scheduled' else q.state end) as waiting_for,
       count(*) as messages, count(*) filter (where q.ready) as due,
       min(q.created_at) as oldest, max(q.tries) as most_tries
from sicantik_notify.queue q
join sicantik_notify.rule r on r.id = q.rule_id
group by q.state, r.code, 3;
comment on view sicantik_notify.v_queue_summary is 'How much waits, by state, rule and reason';

-- v_log: every finished message (SICANTIK guide §8.2), as its receipts leave it: what a provider took and gave up afterwards is failed.
create view sicantik_notify.v_log as
select l.finished_at, l.id, case when l.state = 'sent' and rf.state = 'failed' then 'failed' else l.state end as state, l.rule_code as rule, l.trigger_code as trigger, l.model, l.record_id,
       l.partner_id, l.partner_name, sicantik_notify.show_phone(l.phone) as phone, l.template_key, l.provider_type,
       l.external_id, l.sent_at,
       case when rf.state = 'failed' then coalesce(rf.code, l.code) else l.code end as code,
       case when rf.state = 'failed' then coalesce(rf.error, l.error) else l.error end as error,
       l.tries, l.possible_duplicate, l.processing_time_ms,
       l.changed_at, l.created_at, l.retry_of, rf.state as receipt_state, rf.at as receipt_at
from sicantik_notify.log l
left join lateral (
    select r.state, r.at, r.code, r.error from sicantik_notify.receipt r
    where r.message_id = l.id order by r.rank > 2 desc, r.attempt_id desc, r.rank desc limit 1) rf on true;
comment on view sicantik_notify.v_log is 'Log: every finished message, with provider, times and error';

-- v_blacklist: numbers that get nothing by our own list (SICANTIK guide: Daftar Hitam); the host's phone_blacklist counts too.
create view sicantik_notify.v_blacklist as
select sicantik_notify.show_phone(b.phone) as phone, b.active, b.reason, b.source, b.blocked_count, b.last_blocked_date,
       b.created_at, b.changed_at
from sicantik_notify.blacklist b;
comment on view sicantik_notify.v_blacklist is 'Daftar hitam: numbers that get nothing; those of Odoo''s phone_blacklist get nothing either';

-- v_attempt: each try to hand a message to a provider.
create view sicantik_notify.v_attempt as
select a.started_at, a.id, a.message_id, p.name as provider, a.provider_type, a.template_key,
       coalesce(a.outcome, 'open') as outcome, a.class, a.http_status, a.code, a.error, a.external_id, a.duration_ms, a.note
from sicantik_notify.attempt a
left join sicantik_notify.provider p on p.id = a.provider_id;
comment on view sicantik_notify.v_attempt is 'Each try to hand a message to a provider, with its answer';

-- v_decision: why each change led to a message, or did not.
create view sicantik_notify.v_decision as
select d.decided_at, d.outcome, d.model, d.record_id, d.trigger_code as trigger, d.rule_code as rule, d.partner_id,
       d.message_id, d.reason, d.event_id, d.xact
from sicantik_notify.decision d;
comment on view sicantik_notify.v_decision is 'Why each change led to a message, or did not';

-- v_trigger: triggers, and since when their hook looks for them.
create view sicantik_notify.v_trigger as
select t.sequence, t.code, t.name, t.active, t.model, t.trigger_type,
       case t.trigger_type
           when 'on_state_change' then format('%s: %s -> %s', t.state_field, coalesce(nullif(t.state_from, ''), '*'),
                                              coalesce(nullif(t.state_to, ''), '*'))
           when 'on_field_change' then format('%s (%s)', t.field_to_watch, t.field_change)
           when 'cron' then coalesce(nullif(t.cron_expression, ''), format('every %s %s', t.interval_number, t.interval_type))
       end as watches,
       t.condition_domain,
       (select count(*) from sicantik_notify.rule r where r.trigger = t.code and r.active) as active_rules,
       case when t.active and t.trigger_type like 'on\_%' then
           (select max(c.published_at) from sicantik_notify.capture_publication c
            join sicantik_notify.capture_plan p on p.model = c.model and t.code = any (p.triggers)
            where c.model = t.model)
       end as published_at
from sicantik_notify.trigger t;
comment on view sicantik_notify.v_trigger is
    'Pemicu: triggers; one holds for writes that begin after published_at, provided its hook is installed (v_capture)';

-- v_rule: rules, with their limits, what waits and what they have done.
create view sicantik_notify.v_rule as
select r.sequence, r.code, r.name, r.active, r.trigger, r.condition_domain, r.recipient_type, r.template_key, r.priority,
       r.schedule_type, r.send_window,
       case when r.rate_limit_enabled then r.rate_limit_count || ' per ' || r.rate_limit_period else 'none' end as rate_limit,
       case when r.rate_limit_enabled then
           (select count(*) from sicantik_notify.rate_usage u
            where u.rule_id = r.id and (u.ended_at is null or u.ended_at > sicantik_notify.clock() - sicantik_notify.rate_period(r.rate_limit_period)))
       end as rate_used,
       (select count(*) from sicantik_notify.queue q where q.rule_id = r.id) as waiting,
       (select count(*) from sicantik_notify.queue q where q.rule_id = r.id and q.state = 'held') as held,
       l.sent, l.failed, l.skipped, l.last_finished_at
from sicantik_notify.rule r
left join (
    select g.rule_id, count(*) filter (where g.state = 'sent') as sent, count(*) filter (where g.state = 'failed') as failed,
           count(*) filter (where g.state = 'skipped') as skipped, max(g.finished_at) as last_finished_at
    from sicantik_notify.log g
    where g.finished_at > sicantik_notify.clock() - interval '30 days'
    group by g.rule_id
) l on l.rule_id = r.id;
comment on view sicantik_notify.v_rule is 'Aturan: rules, with their limits, waiting messages and the results of the last 30 days';

-- v_provider: providers, their circuits and pace; never a secret.
create view sicantik_notify.v_provider as
select p.sequence, p.id, p.name, p.provider_type, p.active, p.is_default, p.on_uncertain, p.uncertain_wait,
       exists (select from sicantik_notify.provider_secret s where s.provider_id = p.id) as has_secret,
       case
           when h.open_until > sicantik_notify.clock() then 'open'
           when h.open_until is not null then 'half-open'
           else 'closed'
       end as circuit,
       case
           when h.open_until > sicantik_notify.clock() then h.open_until
           when h.probe_until > sicantik_notify.clock() then h.probe_until
           when h.open_until is not null then sicantik_notify.clock()
       end as next_probe_at,
       h.opened_at, coalesce(h.openings, 0) as openings, coalesce(h.failures, 0) as failures,
       case when h.next_send_at > sicantik_notify.clock() then h.next_send_at end as next_send_at,
       h.last_error, h.last_error_at, h.last_ok_at, h.checked_at, h.templates_synced_at, h.template_sync_error
from sicantik_notify.provider p
left join sicantik_notify.provider_health h on h.provider_id = p.id;
comment on view sicantik_notify.v_provider is
    'Providers: circuit (closed, open, half-open), next probe, pace, last error';

-- v_template: templates, what Meta says of them, and whether each kind of provider can send them (SICANTIK guide §6.3).
create view sicantik_notify.v_template as
select t.template_key, t.name, t.active, t.language, t.parameters,
       coalesce(t.meta_name, t.template_key) as meta_name, t.meta_language, t.meta_status, t.meta_category, t.meta_quality,
       coalesce(t.meta_parameters, t.parameters) as meta_parameters, t.meta_placeholders, t.meta_synced_at,
       case
           when not t.active then 'inactive'
           when t.meta_status not in ('configured', 'approved') then 'is ' || replace(t.meta_status, '_', ' ') || ' at Meta'
           when t.meta_unfit is not null then t.meta_unfit
           when t.meta_synced_at is null then 'usable, not confirmed by a sync'
           else 'usable'
       end as meta,
       g.fitness as fonnte, g.fitness as watzap
from sicantik_notify.template t
cross join lateral (
    select case
        when not t.active then 'inactive'
        when not t.for_gateways then 'not for gateways'
        else 'usable'
    end as fitness
) g;
comment on view sicantik_notify.v_template is 'Templates: the last word of Meta, and whether each kind of provider can send them';

-- v_capture: the hooks: what they watch, since when, what waits, what was missed.
create view sicantik_notify.v_capture as
select p.model, p.table_name, p.shape, p.active, p.on_insert, p.any_write, p.watched, p.read,
       (select max(c.published_at) from sicantik_notify.capture_publication c where c.model = p.model) as published_at,
       (select count(*) from sicantik_notify.event e where e.model = p.model) as events_waiting,
       (select min(e.occurred_at) from sicantik_notify.event e where e.model = p.model) as oldest_event,
       (select case when m.is_called then m.last_value else 0 end from sicantik_notify.miss m) as misses_ever,
       coalesce((select string_agg(f.finding, '; ') from sicantik_notify.hook_findings() f where f.model = p.model), 'ok') as hooks
from sicantik_notify.capture_plan p;
comment on view sicantik_notify.v_capture is 'The hooks: what they watch, since when, what waits, what was missed';

-- v_problem: everything that needs a person, in one list.
create view sicantik_notify.v_problem as
select p.severity, p.since, p.key as about, p.summary, p.remedy
from sicantik_notify.problem p
union all
select f.severity, f.since, 'hooks of ' || coalesce(f.table_name, f.model), f.finding, f.remedy
from sicantik_notify.hook_findings() f
union all
select 'alarm', s.set_aside_at, 'event of ' || s.model || ',' || s.record_id,
       'could not be evaluated: ' || s.error, 'mend the rule: what was set aside is tried again with every change of configuration'
from sicantik_notify.event_set_aside s
where s.next_try_at is null
union all
select 'warning', q.created_at, 'message ' || q.id, 'held: ' || coalesce(q.last_error, ''), 'release or cancel it'
from sicantik_notify.queue q
where q.state = 'held' and q.waiting_for is distinct from 'storm_guard'
union all
select 'alarm', h.since, 'storm of rule ' || r.code,
       h.messages || ' messages are held: the rule enqueued more than storm_limit (' || coalesce(r.storm_limit::text, 'none now')
       || ') in ten minutes',
       format('look at v_queue, then select sicantik_notify.rule_release(%L [, how many]) or sicantik_notify.rule_discard(%L)', r.code, r.code)
from (select q.rule_id, count(*) as messages, min(q.created_at) as since
      from sicantik_notify.queue q
      where q.state = 'held' and q.waiting_for = 'storm_guard'
      group by q.rule_id) h
join sicantik_notify.rule r on r.id = h.rule_id
union all
select 'alarm', h.opened_at, 'provider ' || p.name, 'paused: ' || coalesce(h.last_error, ''),
       'see the error; messages wait and burn no retries. It is probed by itself, next at ' || h.open_until
       || '; sicantik_notify.provider_resume(''' || p.name || ''') lets a message try at once'
from sicantik_notify.provider_health h
join sicantik_notify.provider p on p.id = h.provider_id
where h.open_until is not null and coalesce(h.checked_at < h.open_until, true) and p.active
union all
select 'warning', t.updated_at, 'template ' || t.template_key, 'not sent through Meta: ' || t.meta_unfit,
       'mend it in WhatsApp Manager or here, then run sicantik-notifyd template sync; meanwhile gateways send it'
from sicantik_notify.template t
where t.active and t.meta_unfit is not null and t.meta_status in ('configured', 'approved')
union all
select 'warning', h.templates_synced_at, 'templates of ' || p.name, 'could not be read from Meta: ' || h.template_sync_error,
       'run sicantik-notifyd template sync, which says more'
from sicantik_notify.provider_health h
join sicantik_notify.provider p on p.id = h.provider_id
where h.template_sync_error is not null and p.active
union all
select 'alarm', i.started_at, 'instance ' || i.name || '/' || i.pid, 'does not send: ' || i.note,
       'if it should send, run sicantik-notifyd arm on its machine'
from sicantik_notify.instance i
where not i.delivering
union all
select 'alarm', w.since, 'daemon', 'work waits, and no daemon has shown a sign of life for a minute',
       'start it (systemctl start sicantik-notifyd), or see its log (journalctl -u sicantik-notifyd)'
from (select least((select min(e.occurred_at) from sicantik_notify.event e),
                   (select min(q.scheduled_at) from sicantik_notify.queue q where q.state = 'pending' and q.ready)) as since) w
where w.since < sicantik_notify.clock() - interval '1 minute'
  and not exists (select from sicantik_notify.instance i where i.heartbeat_at > sicantik_notify.clock() - interval '1 minute')
union all
select 'warning', null, 'host cron ' || s.cron_id, 'Odoo''s scheduled action "' || s.name || '" sends WhatsApp messages too: people may get two',
       'if this daemon is to send them, its owner switches it off: update public.ir_cron set active = false where id = ' || s.cron_id
from sicantik_notify.host_senders() s
where exists (
    select from sicantik_notify.rule r join sicantik_notify.trigger t on t.code = r.trigger where r.active and t.active
)
union all
select 'alarm', null, 'partitions', 'rows fell into the DEFAULT partition of attempt, log, decision or event_history',
       'the daemon moves them within the hour; if they stay: select sicantik_notify.ensure_partitions(), and read its error'
where exists (select from sicantik_notify.attempt_default) or exists (select from sicantik_notify.log_default)
   or exists (select from sicantik_notify.decision_default) or exists (select from sicantik_notify.event_history_default);
comment on view sicantik_notify.v_problem is 'Everything that needs a person, in one list';

-- receipt_furthest: how far each message got, by its receipts. Arrived by any attempt is arrived; otherwise the last attempt counts.
create view sicantik_notify.receipt_furthest as
select distinct on (r.message_id) r.message_id, r.state, r.at, r.provider_type, r.code, r.error
from sicantik_notify.receipt r
order by r.message_id, r.rank > 2 desc, r.attempt_id desc, r.rank desc;
comment on view sicantik_notify.receipt_furthest is 'How far each message got, by its receipts';

-- v_receipt: what providers told afterwards, message by message.
create view sicantik_notify.v_receipt as
select r.received_at, r.message_id, r.attempt_id, r.state, r.at, p.name as provider, r.provider_type, r.external_id, r.class, r.code, r.error
from sicantik_notify.receipt r
left join sicantik_notify.provider p on p.id = r.provider_id;
comment on view sicantik_notify.v_receipt is 'What providers told after they had accepted a message: sent, delivered, read, failed';

-- Rights, each by name; never GRANT ALL. Applied on every migrate, after tables, functions and views.
--
-- The capture role: insert events, count misses. Nothing else, in no schema.
grant usage on schema sicantik_notify to sicantik_notify_capture, sicantik_notifyd, sicantik_notify_viewer;
grant insert on sicantik_notify.event to sicantik_notify_capture;
grant usage on sequence sicantik_notify.event_id_seq, sicantik_notify.miss to sicantik_notify_capture;
grant select on sequence sicantik_notify.awake, sicantik_notify.event_floor to sicantik_notify_capture;

-- The daemon: reads configuration, moves work. No TRIGGER, no REFERENCES, no TRUNCATE, no CREATE, nothing owned.
grant select on sicantik_notify.setting, sicantik_notify.field_alias, sicantik_notify.value_alias, sicantik_notify.noise_column,
    sicantik_notify.trigger, sicantik_notify.rule, sicantik_notify.template, sicantik_notify.template_map,
    sicantik_notify.provider, sicantik_notify.provider_secret, sicantik_notify.config_version,
    sicantik_notify.capture_publication, sicantik_notify.capture_state, sicantik_notify.installation, sicantik_notify.repeatable,
    sicantik_notify.schema_history to sicantik_notifyd;
grant select, insert, delete on sicantik_notify.event, sicantik_notify.digest to sicantik_notifyd;
grant select, insert, update on sicantik_notify.repeat_mark to sicantik_notifyd;
grant select, insert on sicantik_notify.event_history to sicantik_notifyd;
grant select, insert, update, delete on sicantik_notify.event_set_aside, sicantik_notify.queue, sicantik_notify.instance,
    sicantik_notify.provider_health, sicantik_notify.inbound, sicantik_notify.problem to sicantik_notifyd;
grant select, insert, update, delete on sicantik_notify.capture_plan, sicantik_notify.recipient_pace to sicantik_notifyd;
-- What Meta says of a template, and nothing else of it.
grant update (meta_status, meta_category, meta_named, meta_quality, meta_placeholders, meta_unfit, meta_synced_at)
    on sicantik_notify.template to sicantik_notifyd;
grant select, insert, update on sicantik_notify.attempt to sicantik_notifyd;
grant select, insert on sicantik_notify.log, sicantik_notify.decision to sicantik_notifyd;
grant select on sicantik_notify.event_history, sicantik_notify.repeat_mark, sicantik_notify.digest to sicantik_notifyd; -- explain
grant select, insert, update, delete on sicantik_notify.rate_state, sicantik_notify.rate_usage, sicantik_notify.batch_series,
    sicantik_notify.storm_count to sicantik_notifyd;
grant select, update on sicantik_notify.blacklist to sicantik_notifyd;
-- Receipts: the daemon adds.
grant select, insert, update, delete on sicantik_notify.receipt_inbox to sicantik_notifyd;
grant select, insert on sicantik_notify.receipt, sicantik_notify.receipt_alias, sicantik_notify.meta_template_event to sicantik_notifyd;
grant select on sicantik_notify.consent, sicantik_notify.inbound_message to sicantik_notifyd;
grant usage on sequence sicantik_notify.event_id_seq, sicantik_notify.message_id_seq, sicantik_notify.claim_token_seq,
    sicantik_notify.attempt_id_seq, sicantik_notify.decision_id_seq to sicantik_notifyd;
grant select, update on sequence sicantik_notify.awake, sicantik_notify.event_floor to sicantik_notifyd;
grant select on sequence sicantik_notify.miss to sicantik_notifyd;

-- Operators write configuration, except secrets; viewers look.
grant select, insert, update, delete on sicantik_notify.setting, sicantik_notify.field_alias, sicantik_notify.value_alias,
    sicantik_notify.noise_column, sicantik_notify.trigger, sicantik_notify.rule, sicantik_notify.template,
    sicantik_notify.template_map, sicantik_notify.provider to sicantik_notify_operator;
grant insert, update, delete on sicantik_notify.provider_secret to sicantik_notify_operator;
grant select (provider_id, name, credential) on sicantik_notify.provider_secret to sicantik_notify_operator;
grant select on sicantik_notify.v_queue, sicantik_notify.v_queue_summary, sicantik_notify.v_log, sicantik_notify.v_attempt,
    sicantik_notify.v_decision, sicantik_notify.v_trigger, sicantik_notify.v_rule, sicantik_notify.v_provider, sicantik_notify.v_template,
    sicantik_notify.v_capture, sicantik_notify.v_problem, sicantik_notify.v_blacklist, sicantik_notify.v_receipt,
    sicantik_notify.receipt_furthest to sicantik_notify_viewer, sicantik_notifyd;

-- Functions: nobody by default.
do $functions$
declare
    f regprocedure;
begin
    for f in
        select p.oid from pg_catalog.pg_proc p
        where p.pronamespace = 'sicantik_notify'::regnamespace and p.proowner = 'sicantik_notify_owner'::regrole
    loop
        execute format('revoke all on function %s from public', f);
    end loop;
end
$functions$;
grant execute on function sicantik_notify.clock() to sicantik_notifyd, sicantik_notify_operator, sicantik_notify_viewer;
grant execute on function sicantik_notify.publish_capture(), sicantik_notify.hook_findings(), sicantik_notify.capture_misses(),
    sicantik_notify.host_identity(), sicantik_notify.delivery_permit(text), sicantik_notify.arm(text, text, boolean),
    sicantik_notify.ensure_partitions(timestamptz, integer), sicantik_notify.drop_event_history(timestamptz),
    sicantik_notify.show_phone(text),
    sicantik_notify.host_partner(bigint[]), sicantik_notify.host_group_members(text), sicantik_notify.host_inbound(text[]),
    sicantik_notify.host_reference(text[]),
    sicantik_notify.receipt_forget(integer), sicantik_notify.inbound_take(bigint, text, text, timestamptz, text)
    to sicantik_notifyd;
grant execute on function sicantik_notify.show_phone(text), sicantik_notify.hook_findings(), sicantik_notify.host_senders()
    to sicantik_notify_viewer;
grant execute on function sicantik_notify.host_senders() to sicantik_notifyd;

-- Queue and delivery: what the daemon's statements call, and what operators call.
grant execute on function sicantik_notify.rate_period(text), sicantik_notify.rate_room(bigint),
    sicantik_notify.rate_waits(bigint), sicantik_notify.rate_ready(bigint, integer), sicantik_notify.rate_next(bigint, boolean, bigint),
    sicantik_notify.window_opens(text, text, timestamptz), sicantik_notify.storm_admit(bigint, integer),
    sicantik_notify.batch_take(bigint, text, integer), sicantik_notify.blacklisted(text[]),
    sicantik_notify.retire_partitions(timestamptz) to sicantik_notifyd;
grant execute on function sicantik_notify.rate_period(text), sicantik_notify.window_opens(text, text, timestamptz)
    to sicantik_notify_viewer;
grant execute on function sicantik_notify.normal_phone_part(text), sicantik_notify.normal_phone(text),
    sicantik_notify.blacklist_add(text, text, text), sicantik_notify.blacklist_remove(text)
    to sicantik_notify_operator, sicantik_notifyd;
grant execute on function sicantik_notify.queue_process_now(bigint), sicantik_notify.queue_retry(bigint),
    sicantik_notify.queue_cancel(bigint), sicantik_notify.enqueue(text, bigint, text, jsonb, timestamptz),
    sicantik_notify.rule_release(text, bigint), sicantik_notify.rule_discard(text) to sicantik_notify_operator;
grant execute on function sicantik_notify.provider_resume(text) to sicantik_notify_operator;

insert into sicantik_notify.repeatable (name, checksum) values
    ('hooks/is_secret.sql', '7997c73330f7f24a10afe54f6ec24ce18f5720ffac4cb93b6be1df42ad3d9e25'),
    ('hooks/capture_columns.sql', 'ef70d3ce10f2ea9d72d3d07fc4129c79b4256d030e17d3d26500734f71efdb6a'),
    ('hooks/capture_object.sql', '2c22e0ecc08a59b9131fd182226317245596854fee7daff668b5cf30328b8fcc'),
    ('hooks/capture_parts.sql', 'bbf0e15f23da9a08278afede9991ae847421bd3cdbb836666db6151a5dd35237'),
    ('hooks/capture_body.sql', '2931cbd7ba71d1cd993feb087aae078436b17d62a5b35791878df16102d53bd8'),
    ('hooks/capture_source.sql', 'bbc160cabdd9fe84468920b8eb8b006fa6a7d720975d071524cef32badee29d0'),
    ('hooks/publish_capture.sql', '315c23f52b981e6c1b13afc84dffa297d5e5ac2e7b53eeff3dd5dbbc3a7624fe'),
    ('hooks/hook_statements.sql', 'a79a3ed424b5ddc4d05c989346daf7d43c15936c95606d539281910b3d40a09b'),
    ('hooks/hook_findings.sql', '2a0c70ef07e02e8caf7aa95c1555af51d6fc2c9fe73f566d0b152b10697dbbc8'),
    ('hooks/hook_removal.sql', '302b7c44b0a2979c08dc6eae43cb6c1c6977858e7f07c5da7349b5cf6f7e3b00'),
    ('functions/host_identity.sql', '2dd50347cdca62907fd709dd9ef7eed4e51e26aba27be5a92ecc804efd618e8f'),
    ('functions/delivery_permit.sql', '04fe992b80bb11a7687fb5adb16a51261ce101793e207e88f0ced881ef8fa4ec'),
    ('functions/bind_installation.sql', '026166513692720775e6056d52fdcd9909ea7321eaa8723ab79453fe7d302176'),
    ('functions/arm.sql', 'fa7e94183edcd694024725c48a7dfd29818ae39528d0c901d39fe9266a064686'),
    ('functions/ensure_partitions.sql', '3f9009acb6c9177bc4d9eff8bb5f9eefab08899abf92ed1b0d5338d48726b26f'),
    ('functions/drop_event_history.sql', 'fa24f24d82d9a08ba9c3bc5b10d8a83aba211a4fda59397353396dcd70f38815'),
    ('functions/capture_misses.sql', '6ea8da91676f77035cb643a710f9ff2e90be4bd25f7d1383bce7b252c038e4cf'),
    ('functions/configuration_triggers.sql', '8e41af97498e295d5e4e0430251e382ca055fa1f66f3ce19e3811f1bac632a30'),
    ('functions/show_phone.sql', '0bbe259ba209af80e165169eeef0993e82956facc9c944bf78463d1b0bb159ee'),
    ('functions/rule_begins.sql', '7340a454e2dcf1af49ad4524a29150d1dd9076c63c53e1d8b420a7167a2638bc'),
    ('functions/rate_limit.sql', '903b3a615bc5002153e113ccfba9e4969a1861549fe9534d9575f5b99277eb40'),
    ('functions/window_opens.sql', '19d6187d8b1870c61933237299e2c635a66bda0e00dd7e6f43eea83cb42a82b8'),
    ('functions/storm_admit.sql', 'c23bdc1b90806d6c78d0fca37eaea1ca4259a8026fbc625af7593ee0ed644055'),
    ('functions/batch_take.sql', 'ec519158d78fb31f9ce0c02d21aac48a8409f2101b27a6c7cfc0ef6cd2df1df6'),
    ('functions/normal_phone.sql', 'd61bdf0a492555c7edca83d7cd4faef3746546dfdc671df2507d2d70cc020529'),
    ('functions/retire_partitions.sql', 'de71dd20b0b0206762f4dc25369afce7e4dc60a6c3f7f50b363309a67ae97f17'),
    ('functions/provider_resume.sql', '8accb4110bd5b33eb29cffa19dfff40ef7bd68868e5244bdbb11eb6f4f203c3f'),
    ('adapters/host_partner.sql', 'fc99eea604ded08c3f8ed97b906e8b4460b3d4e330cd0dc4fb8d19325b576861'),
    ('adapters/host_reference.sql', 'fb61a2ed1420abb091a7b7a9e6e3eae65bb2c59295a439100424b8411e553863'),
    ('adapters/host_group_members.sql', '1551de6168b90167779753d30e674d115990b2b370718ebaa2e98fd5f3a444a0'),
    ('adapters/host_inbound.sql', 'ee32b9e094294d6ffb9e8b5bac2c6ceaaa4afa46ad7b3a655794f86f8b47de6e'),
    ('adapters/host_senders.sql', '60f018479dc55ea571d8e5cbea35b42a042108deab8e3f2edea75231d4dbe326'),
    ('adapters/host_blacklist.sql', '6fc0de7ab385e1c3fd3560ee59f84c6f33b5c4ea16c595075ac3d3f5118d1342'),
    ('functions/blacklist.sql', '3350128ac82e649b2c0942e1ec60ed7f807eaa50ed695054c77efad74f3553b0'),
    ('functions/message_operations.sql', '78699615b5f51bb4a7dc7fc76a5cdf812470169c34debf645473fca6ccf38892'),
    ('functions/receipt_forget.sql', '2f065cd637f405fcd1d3082c140325318efc8fd96d4906848872efcb32a3fec3'),
    ('functions/inbound_take.sql', '776bbc8aa09985cc388cf7a2315cd8c60654f82ae12145201b14c33876e7b48e'),
    ('views/v_queue.sql', 'e9b60e26ce5cb1a527de793a03d172c5534db6a23d4ee649feadc49ab400496a'),
    ('views/v_queue_summary.sql', 'e12b7d3ac02f1a1ca1b5d2ff271b528e770d96efa8022ab51f997f3920c73f9c'),
    ('views/v_log.sql', '7b1e26c281d4ab42cd280b89fd4fc74c87c4d03ae19a60b71830ea51769df7e6'),
    ('views/v_blacklist.sql', '0fd07ad3d68a30aff7581a721f2c383e64bbce3625faec6634c6d8c8a51aa0d2'),
    ('views/v_attempt.sql', '990837ab1535c8754105ff2046a57f02abe4f23c1482086908dbc52e5956c062'),
    ('views/v_decision.sql', '6502fb235310e7e3b5f7bacfdccae92fba03926e69dfb40aaa4ccd8543338105'),
    ('views/v_trigger.sql', 'f5ddcb0ae47410ad984e26f9460608057cce48e61efe219136fba856b8d5089f'),
    ('views/v_rule.sql', '53ea63abb68252133831118485084dd45a5bf9706d77a175aa2271319a72bb8d'),
    ('views/v_provider.sql', 'af49e8258a9311a6cd0b36416ec1fa5171b1233f7fe107a64e36959f3e59fd8f'),
    ('views/v_template.sql', 'ef162893563b7c69a1dd9143d847c36d43603fe2f3baafecb68ed4ea6e56ad72'),
    ('views/v_capture.sql', '412997a2def52ea7af0778f62f238fe8dca0ed8655ec80bd96662088d59832c5'),
    ('views/v_problem.sql', '9360be9fbc68a966b642aca0c8f68e7727262aba8775027514f4dd502552388b'),
    ('views/receipt_furthest.sql', '33ff1eb7931c9e030473fab43f6c707e5ef1f9578abea47253bb0cc1db9d3ebc'),
    ('views/v_receipt.sql', '4c4e7e8c40cea668edbabd4ec20d919f04d265a430e9dcbcafe3b50e340bdab1');

do $$ begin perform sicantik_notify.ensure_partitions(); end $$;

-- Default data (SICANTIK guide §3.2, §4.3), run by `migrate`: each part once, and only where its table is empty, so that nothing
-- that an administrator changed or removed comes back. `repeatable` remembers which parts were offered.
--
-- The triggers are active as in the guide. The rules are inactive: they send to citizens and officials, and the first
-- message should leave because somebody wanted it to.
do $defaults$
begin
    if not exists (select from sicantik_notify.trigger)
       and not exists (select from sicantik_notify.repeatable r where r.name = 'defaults/trigger') then
        insert into sicantik_notify.trigger (code, name, sequence, model, trigger_type, state_field, state_from, state_to,
                                             condition_domain, interval_number, interval_type, description) values
            ('permit_state_change', 'Status Izin Berubah', 10, 'sicantik.permit', 'on_state_change', 'state', null, null,
             null, null, null, 'Status sebuah izin berubah.'),
            ('permit_expiring', 'Izin Mendekati Masa Berlaku', 20, 'sicantik.permit', 'cron', 'state', null, null,
             '[(''state'', ''='', ''approved''), (''expiry_date'', ''>='', context_today().strftime(''%Y-%m-%d'')), '
             '(''expiry_date'', ''<='', (context_today() + timedelta(days=30)).strftime(''%Y-%m-%d''))]',
             1, 'days', 'Izin akan berakhir dalam 30 hari.'),
            ('document_uploaded', 'Dokumen Baru Diupload', 30, 'sicantik.document', 'on_state_change', 'state', 'draft', 'uploaded',
             null, null, null, 'Sebuah dokumen baru diupload.'),
            ('document_pending_signature', 'Dokumen Perlu Ditandatangani', 40, 'sicantik.document', 'on_state_change', 'state', null,
             'pending_signature', null, null, null, 'Sebuah dokumen menunggu tanda tangan.'),
            ('document_signed', 'Dokumen Sudah Ditandatangani', 50, 'sicantik.document', 'on_state_change', 'state', null, 'signed',
             null, null, null, 'Sebuah dokumen sudah ditandatangani.'),
            ('document_pending_reminder', 'Reminder Dokumen Pending', 60, 'sicantik.document', 'cron', 'state', null, null,
             '[(''state'', ''='', ''pending_signature''), '
             '(''create_date'', ''<'', (datetime.now() - timedelta(hours=24)).strftime(''%Y-%m-%d %H:%M:%S''))]',
             1, 'days', 'Dokumen menunggu tanda tangan lebih dari 24 jam.');
        -- Permits that a synchronisation brings are created active: for them the natural event is their number.
        insert into sicantik_notify.trigger (code, name, active, sequence, model, trigger_type, field_to_watch, field_change, description)
        values ('permit_issued', 'Izin Terbit', false, 70, 'sicantik.permit', 'on_field_change', 'permit_number', 'set',
                'Nomor izin terisi, juga saat izin dibuat oleh sinkronisasi.');
    end if;

    if not exists (select from sicantik_notify.template)
       and not exists (select from sicantik_notify.repeatable r where r.name = 'defaults/template') then
        insert into sicantik_notify.template (template_key, name, parameters, meta_name, body) values
            ('permit_ready', 'Izin Selesai Diproses', '{partner_name,permit_number,permit_type,status}', 'izin_selesai_diproses',
             E'Yth. {{partner_name}},\n\nIzin Anda nomor {{permit_number}} ({{permit_type}}) telah selesai diproses dengan status {{status}}.\n\nSilakan mengambil dokumen izin di kantor DPMPTSP.'),
            ('izin_selesai_diproses', 'Izin Selesai Diproses (Utility)', '{partner_name,permit_number,permit_type,status,completion_date}', 'izin_selesai_diproses',
             E'Yth. {{partner_name}},\n\nDengan hormat kami sampaikan bahwa izin nomor {{permit_number}} ({{permit_type}}) telah selesai diproses dengan status {{status}} pada tanggal {{completion_date}}.'),
            ('permit_reminder', 'Peringatan Masa Berlaku Izin', '{partner_name,permit_number,permit_type,expiry_date,days_remaining,renewal_link,contact_info}', 'peringatan_masa_berlaku_izin',
             E'Yth. {{partner_name}},\n\nIzin nomor {{permit_number}} ({{permit_type}}) akan berakhir pada {{expiry_date}}, {{days_remaining}} hari lagi.\n\nPerpanjangan: {{renewal_link}}\nInformasi: {{contact_info}}'),
            ('izin_peringatan_berlaku', 'Peringatan Masa Berlaku Izin (Utility)', '{partner_name,permit_number,permit_type,expiry_date,days_remaining,renewal_link,contact_info}', 'izin_peringatan_berlaku',
             E'Yth. {{partner_name}},\n\nDengan hormat kami ingatkan bahwa izin nomor {{permit_number}} ({{permit_type}}) berlaku sampai {{expiry_date}} ({{days_remaining}} hari lagi).\n\nPerpanjangan: {{renewal_link}}\nInformasi: {{contact_info}}'),
            ('status_update', 'Update Status Perizinan', '{partner_name,permit_number,permit_type,new_status,update_date}', 'update_status_perizinan',
             E'Yth. {{partner_name}},\n\nStatus izin nomor {{permit_number}} ({{permit_type}}) berubah menjadi {{new_status}} pada {{update_date}}.'),
            ('izin_update_status', 'Update Status Perizinan (Utility)', '{partner_name,permit_number,permit_type,new_status,update_date,update_reason}', 'izin_update_status',
             E'Yth. {{partner_name}},\n\nStatus izin nomor {{permit_number}} ({{permit_type}}) berubah menjadi {{new_status}} pada {{update_date}}.\nKeterangan: {{update_reason}}'),
            ('renewal_approved', 'Perpanjangan Izin Disetujui', '{partner_name,permit_number,permit_type,new_expiry_date}', 'perpanjangan_izin_disetujui',
             E'Yth. {{partner_name}},\n\nPerpanjangan izin nomor {{permit_number}} ({{permit_type}}) telah disetujui. Izin berlaku sampai {{new_expiry_date}}.'),
            ('izin_perpanjangan_disetujui', 'Perpanjangan Izin Disetujui (Utility)', '{partner_name,permit_number,permit_type,new_expiry_date,approval_date}', 'izin_perpanjangan_disetujui',
             E'Yth. {{partner_name}},\n\nPerpanjangan izin nomor {{permit_number}} ({{permit_type}}) disetujui pada {{approval_date}} dan berlaku sampai {{new_expiry_date}}.'),
            ('document_pending', 'Dokumen Baru untuk Tandatangan', '{jumlah,jenis_izin,nama_pemohon,pendaftaran_id,link_dashboard}', 'dokumen_baru_untuk_tandatangan',
             E'Ada {{jumlah}} dokumen menunggu tanda tangan.\n\nJenis izin: {{jenis_izin}}\nPemohon: {{nama_pemohon}}\nPendaftaran: {{pendaftaran_id}}\n\n{{link_dashboard}}'),
            ('izin_dokumen_baru', 'Dokumen Baru (Utility)', '{staff_name,permit_type,applicant_name,registration_id,document_date}', 'izin_dokumen_baru',
             E'Yth. {{staff_name}},\n\nDokumen {{permit_type}} atas nama {{applicant_name}} (pendaftaran {{registration_id}}, tanggal {{document_date}}) menunggu tindakan Anda.'),
            ('approval_required', 'Dokumen Perlu Approval', '{nama_pejabat,jenis_izin,nama_pemohon,permit_number,approval_link}', 'dokumen_perlu_approval',
             E'Yth. {{nama_pejabat}},\n\nDokumen {{jenis_izin}} atas nama {{nama_pemohon}} (nomor {{permit_number}}) memerlukan persetujuan Anda:\n{{approval_link}}'),
            ('izin_perlu_approval', 'Dokumen Perlu Approval (Utility)', '{official_name,permit_type,applicant_name,permit_number,request_date,approval_link}', 'izin_perlu_approval',
             E'Yth. {{official_name}},\n\nDokumen {{permit_type}} atas nama {{applicant_name}} (nomor {{permit_number}}), diajukan {{request_date}}, memerlukan persetujuan Anda:\n{{approval_link}}'),
            ('reminder', 'Reminder Dokumen Pending', '{jumlah,jenis_izin,nama_pemohon,waktu_pending,link_dashboard}', 'reminder_dokumen_pending',
             E'Pengingat: {{jumlah}} dokumen belum diproses.\n\nJenis izin: {{jenis_izin}}\nPemohon: {{nama_pemohon}}\nMenunggu sejak: {{waktu_pending}}\n\n{{link_dashboard}}'),
            ('izin_reminder', 'Reminder Dokumen Pending (Utility)', '{staff_name,permit_type,applicant_name,pending_since,pending_duration}', 'izin_reminder',
             E'Yth. {{staff_name}},\n\nDokumen {{permit_type}} atas nama {{applicant_name}} menunggu sejak {{pending_since}} ({{pending_duration}}).'),
            ('document_signed', 'Dokumen Sudah Ditandatangani', '{partner_name,document_number,document_name,permit_number,permit_type}', 'dokumen_ditandatangani',
             E'Yth. {{partner_name}},\n\nDokumen {{document_name}} ({{document_number}}) untuk izin {{permit_number}} ({{permit_type}}) telah ditandatangani.'),
            ('meta_opt_in_request', 'Request Meta Opt-In', '{partner_name,opt_in_link,qr_code_link}', null,
             E'Yth. {{partner_name}},\n\nAgar dapat menerima pemberitahuan resmi melalui WhatsApp, mohon berikan persetujuan di {{opt_in_link}} atau pindai {{qr_code_link}}.');
    end if;

    if not exists (select from sicantik_notify.template_map)
       and not exists (select from sicantik_notify.repeatable r where r.name = 'defaults/template_map') then
        insert into sicantik_notify.template_map (template_key, meta_key) values
            ('permit_ready', 'izin_selesai_diproses'), ('permit_reminder', 'izin_peringatan_berlaku'),
            ('status_update', 'izin_update_status'), ('renewal_approved', 'izin_perpanjangan_disetujui'),
            ('document_pending', 'izin_dokumen_baru'), ('approval_required', 'izin_perlu_approval'), ('reminder', 'izin_reminder');
    end if;

    if not exists (select from sicantik_notify.rule)
       and not exists (select from sicantik_notify.repeatable r where r.name = 'defaults/rule') then
        insert into sicantik_notify.rule (code, name, active, trigger, condition_domain, template_key, recipient_type, staff_group, description,
                                          repeat_policy, group_by)
        select d.code, d.name, false, d.trigger, d.domain, d.template_key, d.recipient_type, d.staff_group, d.description,
               d.repeat_policy, d.group_by
        from (values
            -- How often: auto tells an expiring permit once for each expiry_date. The reminder: once a day, one message a person.
            -- The condition keeps the nightly active -> expired from telling anybody "your permit is ready".
            ('notify_permit_approved', 'Notifikasi Izin Disetujui', 'permit_state_change', '[(''state'', ''='', ''approved'')]',
             'permit_ready', 'partner', null, 'Memberitahu pemohon bahwa izinnya selesai.', 'auto', 'none'),
            ('notify_permit_expiring', 'Reminder Masa Berlaku Izin', 'permit_expiring', null,
             'permit_reminder', 'partner', null, 'Mengingatkan pemohon sebelum izinnya berakhir.', 'auto', 'none'),
            ('notify_document_uploaded', 'Notifikasi Dokumen Baru', 'document_uploaded', null,
             'izin_dokumen_baru', 'staff', 'DPMPTSP Staff', 'Memberitahu staf tentang dokumen baru.', 'auto', 'none'),
            ('notify_document_pending_signature', 'Notifikasi Dokumen Perlu Tanda Tangan', 'document_pending_signature', null,
             'document_pending', 'staff', 'DPMPTSP Staff', 'Memberitahu staf bahwa dokumen menunggu tanda tangan.', 'auto', 'none'),
            ('notify_document_signed', 'Notifikasi Dokumen Ditandatangani', 'document_signed', null,
             'document_signed', 'partner', null, 'Memberitahu pemohon bahwa dokumennya ditandatangani.', 'auto', 'none'),
            ('notify_document_reminder', 'Reminder Dokumen Pending', 'document_pending_reminder', null,
             'reminder', 'staff', 'DPMPTSP Staff', 'Mengingatkan staf tentang dokumen yang menunggu.', 'cooldown', 'recipient')
        ) as d (code, name, trigger, domain, template_key, recipient_type, staff_group, description, repeat_policy, group_by)
        where exists (select from sicantik_notify.trigger t where t.code = d.trigger);
    end if;

    -- The answer to somebody who stopped our messages: the one rule that sends by itself, since that person asked for it. Its rule does
    -- not respect the blacklist, on which the number stands by then. Switch the rule off to stop without a word.
    if not exists (select from sicantik_notify.repeatable r where r.name = 'system/stop_confirmation') then
        insert into sicantik_notify.trigger (code, name, sequence, model, trigger_type, description)
        values ('system_inbound', 'Pesan Masuk', 1000, 'res.partner', 'manual', 'Pesan masuk melalui WhatsApp; dipakai oleh sistem.')
        on conflict (code) do nothing;
        insert into sicantik_notify.template (template_key, name, body) values
            ('stop_confirmation', 'Konfirmasi Berhenti',
             'Anda tidak akan menerima pesan WhatsApp dari kami lagi. Balas MULAI untuk menerimanya kembali.')
        on conflict (template_key) do nothing;
        insert into sicantik_notify.rule (code, name, sequence, trigger, template_key, respect_blacklist, max_retries, priority, description)
        values ('system_stop_confirmation', 'Konfirmasi Berhenti', 1000, 'system_inbound', 'stop_confirmation', false, 3, 10,
                'Satu jawaban kepada penerima yang berhenti; dipakai oleh sistem.')
        on conflict (code) do nothing;
        insert into sicantik_notify.repeatable (name, checksum) values ('system/stop_confirmation', 'offered') on conflict (name) do nothing;
    end if;

    insert into sicantik_notify.repeatable (name, checksum)
    select 'defaults/' || part, 'offered' from unnest(array['trigger', 'template', 'template_map', 'rule']) as p (part)
    on conflict (name) do nothing;
end
$defaults$;
