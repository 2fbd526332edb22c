-- publish_capture(): replaces the body of every installed hook function whose plan has changed. No lock and no right on
-- a host table is needed for that. It never creates a function: installing hooks is the DBA's (hooks install).
--
-- Publishing is serialised by an advisory lock, and only a changed text is published: CREATE OR REPLACE of one function by
-- two sessions fails ("tuple concurrently updated"). The owner stays the capture role, whose member the owner is.
create or replace function sicantik_notify.publish_capture()
returns table (model text, published boolean, checksum text)
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $publish_capture$
declare
    plan     record;
    function oid;
    source   text;
    standing text;
begin
    perform pg_advisory_xact_lock(hashtextextended('sicantik_notify.publish_capture', 0));
    for plan in select p.model, p.table_name from sicantik_notify.capture_plan p order by p.model loop
        function := to_regprocedure(format('sicantik_notify.%I()', 'capture_' || plan.table_name));
        continue when function is null; -- not installed: hook_findings() says so
        source := sicantik_notify.capture_source(plan.model);
        select c.source into standing
        from sicantik_notify.capture_publication c
        where c.model = plan.model
        order by c.id desc
        limit 1;
        model := plan.model;
        published := standing is distinct from source
            or (select pg_get_userbyid(f.proowner) <> 'sicantik_notify_capture' or md5(f.prosrc) <> (
                    select c.checksum from sicantik_notify.capture_publication c
                    where c.model = plan.model order by c.id desc limit 1)
                from pg_proc f where f.oid = function);
        if published then
            if not pg_has_role(current_user, (select f.proowner from pg_proc f where f.oid = function), 'usage') then
                -- Somebody else owns it (a restore without owners): only the DBA can mend that; hook_findings() says so.
                published := false;
                checksum := null;
                return next;
                continue;
            end if;
            execute source;
            insert into sicantik_notify.capture_publication (model, checksum, source)
            select plan.model, md5(f.prosrc), source from pg_proc f where f.oid = function;
        end if;
        select md5(f.prosrc) into checksum from pg_proc f where f.oid = function;
        return next;
    end loop;
end
$publish_capture$;
comment on function sicantik_notify.publish_capture() is
    'Replaces the bodies of installed hooks whose plan changed; the daemon calls it after each change of configuration';
