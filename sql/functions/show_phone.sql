-- show_phone(number): the number for operators and the daemon, a masked one for viewers.
create or replace function sicantik_notify.show_phone(p_phone text)
returns text
language sql
stable
set search_path = pg_catalog, pg_temp
as $show_phone$
    select case
        when pg_has_role(current_user, 'sicantik_notify_operator', 'usage')
          or pg_has_role(current_user, 'sicantik_notifyd', 'usage') then p_phone
        else left(p_phone, 5) || '****' || right(p_phone, 3)
    end
$show_phone$;
comment on function sicantik_notify.show_phone(text) is 'A phone number, masked for viewers';
