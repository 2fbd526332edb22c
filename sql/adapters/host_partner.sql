-- host_partner(ids): what delivery needs of partners. Columns differ between host versions (mobile is absent on saas~18.4, the whatsapp
-- columns come with SICANTIK), and no dependency on them may arise, which plpgsql makes none of.
-- Inside of `p` an unqualified name means a column of res_partner where there is one, and else that of `without`: plans are made anew
-- when the host's table changes. (Its whole row as JSON would do too, at ten times the cost.)
create or replace function sicantik_notify.host_partner(p_ids bigint[])
returns table (id bigint, name text, whatsapp_number text, mobile text, phone text, opted_in boolean, active boolean, lang text)
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
as $host_partner$
#variable_conflict use_column
begin
    return query
    select p.id, p.name, p.whatsapp_number, p.mobile, p.phone, coalesce(p.opted_in, false), coalesce(p.active, false), p.lang
    from (select null::text as whatsapp_number, null::text as mobile, null::text as phone, false as whatsapp_opt_in,
                 null::boolean as active, null::text as lang) without
    cross join lateral (
        select r.id::bigint as id, r.name::text as name, whatsapp_number::text as whatsapp_number, mobile::text as mobile,
               phone::text as phone, whatsapp_opt_in::text::boolean as opted_in, active::text::boolean as active, lang::text as lang
        from public.res_partner r
        where r.id = any (p_ids)
    ) p;
end
$host_partner$;
comment on function sicantik_notify.host_partner(bigint[]) is 'Names, numbers and consent of partners of the host';
