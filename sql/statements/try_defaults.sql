-- Columns of a table of ours, with their default values as SQL (from our own catalogue).
-- $1 table
select a.attname::text as column_name, pg_get_expr(d.adbin, d.adrelid) as default_value
from pg_catalog.pg_attribute a
left join pg_catalog.pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
where a.attrelid = ('sicantik_notify.' || quote_ident($1::text))::regclass and a.attnum > 0 and not a.attisdropped
order by a.attnum
