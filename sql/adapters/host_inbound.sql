-- host_inbound(numbers): when each number (E.164) last wrote to us: our own table, and Odoo's whatsapp_message where the
-- host has it (mobile_number_formatted holds digits without a plus; times are UTC without a zone).
create or replace function sicantik_notify.host_inbound(p_phones text[])
returns table (phone text, last_inbound_at timestamptz)
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
as $host_inbound$
begin
    return query
    select i.phone, i.last_inbound_at from sicantik_notify.inbound i where i.phone = any (p_phones);
    if to_regclass('public.whatsapp_message') is not null then
        begin
            return query
            select n.phone, max(m.create_date) at time zone 'UTC'
            from unnest(p_phones) as n (phone)
            join public.whatsapp_message m on m.mobile_number_formatted = ltrim(n.phone, '+') and m.message_type = 'inbound'
            group by n.phone;
        exception when undefined_column or insufficient_privilege then
            null; -- another version of that module: only our own table counts
        end;
    end if;
end
$host_inbound$;
comment on function sicantik_notify.host_inbound(text[]) is 'Last inbound message of each number';
