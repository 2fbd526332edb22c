-- Columns of tables of ours, with type, default and comment: what can stand in a file of configuration.
select c.relname::text as table_name, a.attname::text as name, format_type(a.atttypid, a.atttypmod) as type, a.attnotnull as required,
       pg_get_expr(d.adbin, d.adrelid) as default_expression, coalesce(obj_description(c.oid, 'pg_class'), '') as about
from pg_catalog.pg_class c
join pg_catalog.pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped and a.attidentity = '' and a.attgenerated = ''
left join pg_catalog.pg_attrdef d on d.adrelid = c.oid and d.adnum = a.attnum
where c.relnamespace = 'sicantik_notify'::regnamespace and c.relkind = 'r' and c.relname = any ($1::text[])
order by c.relname, a.attnum
