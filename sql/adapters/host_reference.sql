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
