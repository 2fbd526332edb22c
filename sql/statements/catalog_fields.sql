-- The host's models and fields, with the type of the column where there is one. Columns that differ between host versions
-- (company_dependent, translate) are read through jsonb.
select f.doc ->> 'model' as model, replace(f.doc ->> 'model', '.', '_') as table_name, f.doc ->> 'name' as name,
       f.doc ->> 'ttype' as ttype, f.doc ->> 'relation' as relation, f.doc ->> 'relation_field' as relation_field,
       f.doc ->> 'relation_table' as relation_table, f.doc ->> 'column1' as column1, f.doc ->> 'column2' as column2,
       coalesce((f.doc ->> 'store')::boolean, false) as store, f.doc ->> 'related' as related,
       coalesce(f.doc ->> 'translate', 'false') not in ('false', '') as translate,
       coalesce((f.doc ->> 'company_dependent')::boolean, false) as company_dependent,
       format_type(a.atttypid, a.atttypmod) as column_type
from (select to_jsonb(m.*) as doc from public.ir_model_fields m) f
join pg_catalog.pg_class c on c.relname = replace(f.doc ->> 'model', '.', '_') and c.relnamespace = 'public'::regnamespace
                          and c.relkind in ('r', 'p')
left join pg_catalog.pg_attribute a on a.attrelid = c.oid and a.attname = f.doc ->> 'name' and a.attnum > 0 and not a.attisdropped
order by 1, 3
