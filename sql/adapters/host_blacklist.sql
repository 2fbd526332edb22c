-- host_blacklist(numbers): which of these numbers (E.164) stand on Odoo's own list, phone_blacklist of phone_validation. Odoo stores
-- E.164; rows in another notation, from an import, are normalised where their digits hold one of the numbers. Where the
-- host has no such table nobody is on it; where it cannot be read the error is the caller's: then nothing is sent.
create or replace function sicantik_notify.host_blacklist(p_phones text[])
returns table (phone text)
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
as $host_blacklist$
begin
    if to_regclass('public.phone_blacklist') is null then
        return;
    end if;
    return query
    select b.number::text from public.phone_blacklist b where b.number = any (p_phones) and b.active
    union
    select m.normal
    from (
        select case when exists (select from unnest(p_phones) p
                                 where strpos(regexp_replace(b.number, '[^0-9]', '', 'g'), right(p, 6)) > 0)
                    then sicantik_notify.normal_phone(b.number) end as normal
        from public.phone_blacklist b
        where b.active and (left(b.number, 1) <> '+' or translate(b.number, '+0123456789', '') <> '')
    ) m
    where m.normal = any (p_phones);
end
$host_blacklist$;
comment on function sicantik_notify.host_blacklist(text[]) is 'Which numbers stand on the host''s own blacklist';
