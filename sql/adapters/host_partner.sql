-- host_partner(ids): what delivery needs of partners. Read through to_jsonb, because columns differ between host versions
-- (mobile is absent on saas~18.4, the whatsapp columns come with SICANTIK) and no dependency on them may arise.
create or replace function sicantik_notify.host_partner(p_ids bigint[])
returns table (id bigint, name text, whatsapp_number text, mobile text, phone text, opted_in boolean, active boolean, lang text)
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
as $host_partner$
begin
    -- Materialized: a plain subquery would be merged, and the whole row made into JSON once for each of the columns below.
    return query
    with d as materialized (
        select to_jsonb(p.*) as doc from public.res_partner p where p.id = any (p_ids)
    )
    select (d.doc ->> 'id')::bigint, d.doc ->> 'name', d.doc ->> 'whatsapp_number', d.doc ->> 'mobile', d.doc ->> 'phone',
           coalesce((d.doc ->> 'whatsapp_opt_in')::boolean, false), coalesce((d.doc ->> 'active')::boolean, false), d.doc ->> 'lang'
    from d;
end
$host_partner$;
comment on function sicantik_notify.host_partner(bigint[]) is 'Names, numbers and consent of partners of the host';
