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
