-- asker(): who asks, for the history: the role, and the person where the programme says so (the command line does). Whoever borrows
-- the daemon's own role is named alone, since the role says nothing.
create or replace function sicantik_notify.asker()
returns text
language sql
stable
set search_path = pg_catalog, pg_temp
as $asker$
    select case
               when p.person is null or p.person = session_user then session_user::text
               when session_user = 'sicantik_notifyd' then p.person
               else session_user || ' (' || p.person || ')'
           end
    from (select nullif(left(current_setting('sicantik_notify.asker', true), 60), '') as person) p
$asker$;
comment on function sicantik_notify.asker() is 'Who asks: the role, and the person at the keyboard where that is known';

-- office_zone(): the office's time zone (setting timezone); UTC where there is none of that name.
create or replace function sicantik_notify.office_zone()
returns text
language plpgsql
stable
security definer -- viewers read no settings
set search_path = pg_catalog, pg_temp
as $office_zone$
declare
    zone constant text := (select s.value from sicantik_notify.setting s where s.key = 'timezone');
begin
    perform now() at time zone zone;
    return coalesce(zone, 'UTC');
exception when invalid_parameter_value then
    return 'UTC';
end
$office_zone$;
comment on function sicantik_notify.office_zone() is 'The office''s time zone, in which people read times';
