-- delivery_permit(secret hash): may a daemon whose state directory holds that secret send from this database?
-- Asked inside every claim (promise P13: a copy never sends). A dump keeps the uuid but not cluster and oid; a file copy
-- keeps all three but not the daemon's state directory; a neutralised database says so itself.
create or replace function sicantik_notify.delivery_permit(p_secret_hash text)
returns table (allowed boolean, reason text)
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
as $delivery_permit$
declare
    bound sicantik_notify.installation;
    here  record;
begin
    begin
        select * into strict here from sicantik_notify.host_identity();
    exception when others then
        return query select false, 'the identity of the host database cannot be read: ' || sqlerrm;
        return;
    end;
    select * into bound from sicantik_notify.installation;
    return query
    select v.reason is null, coalesce(v.reason, 'armed')
    from (select case
        when bound.only_row is null then 'the installation is not bound to a database: run sicantik-notifyd migrate'
        when here.neutralized then 'this database is neutralised (database.is_neutralized): a test copy never sends'
        when bound.database_uuid is distinct from here.database_uuid then
            format('database.uuid is %s, but the installation is bound to %s: a duplicated or restored copy? '
                   'If this is the real one, run sicantik-notifyd arm', here.database_uuid, bound.database_uuid)
        when bound.system_identifier <> here.system_identifier or bound.database_oid <> here.database_oid then
            'this is another cluster or database than the one the installation is bound to (dump and restore?). '
            'If this is the real one, run sicantik-notifyd arm'
        when not exists (select from sicantik_notify.arming a where a.secret_hash = p_secret_hash) then
            'this daemon is not armed: its state directory holds no secret that this database knows. '
            'If it should send, run sicantik-notifyd arm on this machine'
    end as reason) v;
end
$delivery_permit$;
comment on function sicantik_notify.delivery_permit(text) is 'Whether a daemon may send from this database, and if not, why';
