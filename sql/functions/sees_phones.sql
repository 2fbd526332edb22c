-- sees_phones(): whether whoever asks sees phone numbers whole: operators and the daemon do, viewers do not.
create or replace function sicantik_notify.sees_phones()
returns boolean
language sql
stable
parallel safe
set search_path = pg_catalog, pg_temp
as $sees_phones$
    select pg_has_role(current_user, 'sicantik_notify_operator', 'usage') or pg_has_role(current_user, 'sicantik_notifyd', 'usage')
$sees_phones$;
comment on function sicantik_notify.sees_phones() is 'Whether whoever asks sees phone numbers whole';
