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
