-- show_phone(number): the number for operators and the daemon, a masked one for viewers.
create or replace function sicantik_notify.show_phone(p_phone text)
returns text
language sql
stable
set search_path = pg_catalog, pg_temp
as $show_phone$
    select case when sicantik_notify.sees_phones() then p_phone else sicantik_notify.masked_phone(p_phone) end
$show_phone$;
comment on function sicantik_notify.show_phone(text) is 'p_phone, masked where a viewer asks';
