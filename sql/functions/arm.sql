-- arm(secret hash, label, rebind): lets the daemon that holds the secret send. The first daemon of a new installation
-- arms itself while the binding holds and nobody was ever armed; everything else is an operator's decision (rebind).
create or replace function sicantik_notify.arm(p_secret_hash text, p_label text, p_rebind boolean)
returns boolean
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $arm$
declare
    here record;
begin
    perform pg_advisory_xact_lock(hashtextextended('sicantik_notify.arm', 0));
    select * into strict here from sicantik_notify.host_identity();
    if not p_rebind and (
        exists (select from sicantik_notify.arming)
        or not exists (select from sicantik_notify.installation i
                       where i.database_uuid is not distinct from here.database_uuid
                         and i.system_identifier = here.system_identifier and i.database_oid = here.database_oid)
    ) then
        return false;
    end if;
    if p_rebind and exists (select from sicantik_notify.installation i
                            where i.database_uuid is distinct from here.database_uuid
                               or i.system_identifier <> here.system_identifier or i.database_oid <> here.database_oid) then
        -- Another database than before: secrets of the old one's daemons must not send from both.
        delete from sicantik_notify.arming;
        -- And a person has decided that it goes on here: what another cluster counted as timelines says nothing.
        delete from sicantik_notify.timeline;
        insert into sicantik_notify.timeline (timeline, opened_at)
        values (sicantik_notify.server_timeline(), sicantik_notify.clock());
    end if;
    if p_rebind then
        update sicantik_notify.installation
        set database_uuid = here.database_uuid, system_identifier = here.system_identifier,
            database_oid = here.database_oid, bound_at = clock_timestamp();
    end if;
    insert into sicantik_notify.arming (secret_hash, label) values (p_secret_hash, p_label)
    on conflict (secret_hash) do update set label = excluded.label, armed_at = clock_timestamp();
    return true;
end
$arm$;
comment on function sicantik_notify.arm(text, text, boolean) is 'Lets a daemon send from this database (see the command arm)';
