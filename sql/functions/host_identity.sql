-- host_identity(): which database this is, and whether it is a neutralised copy. Nothing else of ir_config_parameter is
-- shown. plpgsql, so that no dependency on a host table arises (it would break the host's upgrades).
-- An error (no such table, no right) is the caller's: unreadable means no delivery.
create or replace function sicantik_notify.host_identity()
returns table (database_uuid text, neutralized boolean, system_identifier text, database_oid oid)
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
as $host_identity$
begin
    return query
    select (select p.value from public.ir_config_parameter p where p.key = 'database.uuid')::text,
           coalesce((select lower(p.value) in ('true', '1', 't', 'yes') from public.ir_config_parameter p
                     where p.key = 'database.is_neutralized'), false),
           (select c.system_identifier::text from pg_control_system() c),
           (select d.oid from pg_database d where d.datname = current_database());
end
$host_identity$;
comment on function sicantik_notify.host_identity() is 'Which database this is: uuid, cluster, oid, neutralised or not';
