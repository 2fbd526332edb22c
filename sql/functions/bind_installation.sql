-- bind_installation(): ties a new installation to the database it was made in. Does nothing where it is tied already.
create or replace function sicantik_notify.bind_installation()
returns void
language sql
security definer
set search_path = pg_catalog, pg_temp
as $bind_installation$
    insert into sicantik_notify.installation (database_uuid, system_identifier, database_oid)
    select h.database_uuid, h.system_identifier, h.database_oid from sicantik_notify.host_identity() h
    on conflict (only_row) do nothing
$bind_installation$;
comment on function sicantik_notify.bind_installation() is 'Ties a new installation to the database it was made in';
