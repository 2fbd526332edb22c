-- What types are in the end: a domain's base, and the item of an array.
-- $1 pg_type.oid of each
with recursive base (asked, oid, depth) as (
    select a.asked, a.asked, 0 from unnest($1::oid[]) as a (asked)
    union all
    select b.asked, t.typbasetype, b.depth + 1
    from base b
    join pg_type t on t.oid = b.oid
    where t.typtype = 'd' and b.depth < 10
)
select b.asked, t.oid as base, case when t.typcategory = 'A' and t.typelem <> 0 then t.typelem end as item
from base b
join pg_type t on t.oid = b.oid
where t.typtype <> 'd'
