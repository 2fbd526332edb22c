-- The host's models and fields, with the type of the column where there is one. Columns that differ between host versions
-- (company_dependent, translate) are read through jsonb; materialized, so that each row is converted once and not once a
-- column (an office has some ten thousand fields).
with tables as materialized (
    select c.oid, c.relname::text as name
    from pg_catalog.pg_class c
    where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p')
), fields as materialized (
    select m.model, m.name, m.ttype, m.relation, m.relation_field, m.relation_table, m.column1, m.column2, m.store, m.related,
           t.oid as table_oid, t.name as table_name, to_jsonb(m.*) as doc
    from public.ir_model_fields m
    join tables t on t.name = replace(m.model, '.', '_')
)
select f.model, f.table_name, f.name, f.ttype, f.relation, f.relation_field, f.relation_table, f.column1, f.column2,
       coalesce(f.store, false) as store, f.related,
       coalesce(f.doc ->> 'translate', 'false') not in ('false', '') as translate,
       coalesce((f.doc ->> 'company_dependent')::boolean, false) as company_dependent,
       format_type(a.atttypid, a.atttypmod) as column_type
from fields f
left join pg_catalog.pg_attribute a on a.attrelid = f.table_oid and a.attname = f.name and a.attnum > 0 and not a.attisdropped
order by 1, 3
