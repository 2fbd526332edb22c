with acl as (
    select o.kind, o.oid, string_agg(a::text, ' ' order by a::text) as rights
    from (select 'r' as kind, oid, relacl as acl from pg_class union all select 'f', oid, proacl from pg_proc) o, unnest(o.acl) a
    group by 1, 2
)
select line from (
    select format('%s %s %s | %s', c.relkind, c.relname, c.reloptions, acl.rights) || coalesce(' | ' || d.description, '') as line
    from pg_class c
    left join acl on acl.kind = 'r' and acl.oid = c.oid
    left join pg_description d on d.objoid = c.oid and d.classoid = 'pg_class'::regclass and d.objsubid = 0
    where c.relnamespace = 'sicantik_notify'::regnamespace and c.relkind <> 'i'
    union all
    select format('column %s.%s %s %s %s %s', c.relname, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull,
                  pg_get_expr(e.adbin, e.adrelid), a.attacl) || coalesce(' | ' || col_description(c.oid, a.attnum), '')
    from pg_class c
    join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
    left join pg_attrdef e on e.adrelid = c.oid and e.adnum = a.attnum
    where c.relnamespace = 'sicantik_notify'::regnamespace and c.relkind in ('r', 'p', 'v')
      and not c.relispartition -- their comments are those of the version that made them
    union all
    select pg_get_indexdef(i.indexrelid) from pg_index i
    join pg_class c on c.oid = i.indrelid where c.relnamespace = 'sicantik_notify'::regnamespace
    union all
    select format('constraint %s %s %s', k.conrelid::regclass, k.conname, pg_get_constraintdef(k.oid))
    from pg_constraint k where k.connamespace = 'sicantik_notify'::regnamespace
    union all
    select format('trigger %s', pg_get_triggerdef(t.oid)) from pg_trigger t
    join pg_class c on c.oid = t.tgrelid where c.relnamespace = 'sicantik_notify'::regnamespace and not t.tgisinternal
    union all
    select format('view %s %s', c.relname, md5(pg_get_viewdef(c.oid))) from pg_class c
    where c.relnamespace = 'sicantik_notify'::regnamespace and c.relkind = 'v'
    union all
    select format('function %s %s | %s', f.oid::regprocedure, md5(pg_get_functiondef(f.oid)), acl.rights)
           || coalesce(' | ' || obj_description(f.oid, 'pg_proc'), ' | no comment')
    from pg_proc f
    left join acl on acl.kind = 'f' and acl.oid = f.oid
    where f.pronamespace = 'sicantik_notify'::regnamespace and f.prokind = 'f' and f.proname !~ '^capture_sicantik_'
) x
order by 1
