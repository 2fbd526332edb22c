-- uninstall_statements(): what `uninstall` runs in this database after the hooks are gone: takes back each right that our roles hold outside of
-- the schema (a table's revoke takes its columns' rights along), then drops the schema with all that is in it. What others have
-- built upon the schema is not dropped along: see uninstall_obstacles().
create or replace function sicantik_notify.uninstall_statements()
returns table (step integer, statement text)
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $uninstall_statements$
declare
    ours constant oid[] := array(select r.oid from pg_roles r
                                 where r.rolname in ('sicantik_notify_owner', 'sicantik_notify_capture', 'sicantik_notifyd',
                                                     'sicantik_notify_operator', 'sicantik_notify_viewer'));
    held record;
begin
    step := 0;
    for held in
        select distinct o.rank, o.kind, o.name, a.grantee::regrole::text as role
        from (
            select 1 as rank, 'table' as kind, c.oid::regclass::text as name, c.relacl as acl
            from pg_class c
            where c.relnamespace <> 'sicantik_notify'::regnamespace and c.relkind in ('r', 'p', 'v', 'm', 'f') and c.relacl is not null
            union all
            select 1, 'table', c.oid::regclass::text, t.attacl
            from pg_attribute t
            join pg_class c on c.oid = t.attrelid
            where c.relnamespace <> 'sicantik_notify'::regnamespace and t.attacl is not null
            union all
            select 2, 'sequence', c.oid::regclass::text, c.relacl
            from pg_class c
            where c.relnamespace <> 'sicantik_notify'::regnamespace and c.relkind = 'S' and c.relacl is not null
            union all
            select 3, 'schema', quote_ident(n.nspname), n.nspacl
            from pg_namespace n
            where n.nspname <> 'sicantik_notify' and n.nspacl is not null
            union all
            select 4, 'database', quote_ident(d.datname), d.datacl
            from pg_database d
            where d.datname = current_database() and d.datacl is not null
        ) o
        cross join lateral aclexplode(o.acl) a
        where a.grantee = any (ours)
        order by 1, 3, 4
    loop
        step := step + 1;
        statement := format('revoke all on %s %s from %s', held.kind, held.name, held.role);
        return next;
    end loop;
    step := step + 1;
    statement := 'drop schema sicantik_notify cascade';
    return next;
end
$uninstall_statements$;
comment on function sicantik_notify.uninstall_statements() is 'What uninstall runs in this database, after hooks remove';

-- uninstall_obstacles(): objects of others that rest on the schema and would be dropped with it.
create or replace function sicantik_notify.uninstall_obstacles()
returns setof text
language sql
stable
set search_path = pg_catalog, pg_temp
as $uninstall_obstacles$
    with ours as (
        select 'pg_class'::regclass as classid, c.oid as objid from pg_class c where c.relnamespace = 'sicantik_notify'::regnamespace
        union all
        select 'pg_proc'::regclass, p.oid from pg_proc p where p.pronamespace = 'sicantik_notify'::regnamespace
        union all
        select 'pg_type'::regclass, t.oid from pg_type t where t.typnamespace = 'sicantik_notify'::regnamespace
    )
    select distinct case when w.oid is not null then pg_describe_object('pg_class'::regclass, w.ev_class, 0)
                         else pg_describe_object(d.classid, d.objid, d.objsubid) end
    from ours o
    join pg_depend d on d.refclassid = o.classid and d.refobjid = o.objid and d.deptype = 'n'
    left join pg_rewrite w on d.classid = 'pg_rewrite'::regclass and w.oid = d.objid
    left join pg_class c on c.oid = case d.classid when 'pg_class'::regclass then d.objid when 'pg_rewrite'::regclass then w.ev_class end
    left join pg_proc p on d.classid = 'pg_proc'::regclass and p.oid = d.objid
    left join pg_type t on d.classid = 'pg_type'::regclass and t.oid = d.objid
    left join pg_constraint k on d.classid = 'pg_constraint'::regclass and k.oid = d.objid
    left join pg_trigger g on d.classid = 'pg_trigger'::regclass and g.oid = d.objid
    left join pg_attrdef f on d.classid = 'pg_attrdef'::regclass and f.oid = d.objid
    left join pg_class h on h.oid = coalesce(k.conrelid, g.tgrelid, f.adrelid)
    where coalesce(c.relnamespace, p.pronamespace, t.typnamespace, h.relnamespace, 0) not in (0, 'sicantik_notify'::regnamespace)
      -- The hooks: hooks remove takes them away by name.
      and not (d.classid = 'pg_trigger'::regclass and o.classid = 'pg_proc'::regclass)
    order by 1
$uninstall_obstacles$;
comment on function sicantik_notify.uninstall_obstacles() is 'Objects of others that rest on the schema and would be dropped with it';
