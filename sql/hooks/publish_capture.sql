-- note_publication(model): one more row of history, if the function that stands is not the one noted last.
create or replace function sicantik_notify.note_publication(p_model text)
returns void
language sql
set search_path = pg_catalog, pg_temp
as $note_publication$
    insert into sicantik_notify.capture_publication (model, checksum, source)
    select p.model, md5(f.prosrc), pg_get_functiondef(f.oid)
    from sicantik_notify.capture_plan p
    join pg_proc f on f.oid = to_regprocedure(format('sicantik_notify.%I()', 'capture_' || p.table_name))
    where p.model = p_model
      and md5(f.prosrc) is distinct from (
          select c.checksum from sicantik_notify.capture_publication c where c.model = p.model order by c.id desc limit 1)
$note_publication$;
comment on function sicantik_notify.note_publication(text) is 'Writes the history of the hook functions';

-- publish_capture(): replaces the body of every installed hook function that is not what its plan asks for. No lock and no
-- right on a host table is needed for that. It never creates a function: installing hooks is the DBA's (hooks install).
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
    function pg_proc;
begin
    perform pg_advisory_xact_lock(hashtextextended('sicantik_notify.publish_capture', 0));
    for plan in select p.model, p.table_name from sicantik_notify.capture_plan p order by p.model loop
        select f.* into function
        from pg_proc f
        where f.oid = to_regprocedure(format('sicantik_notify.%I()', 'capture_' || plan.table_name));
        continue when not found; -- not installed: hook_findings() says so
        model := plan.model;
        -- Where somebody else owns it (a restore without owners), only the DBA can mend that; hook_findings() says so.
        published := pg_get_userbyid(function.proowner) = 'sicantik_notify_capture'
            and (md5(function.prosrc) <> md5(sicantik_notify.capture_body(plan.model))
                 or not function.prosecdef
                 or function.proconfig is distinct from sicantik_notify.capture_settings());
        if published then
            execute sicantik_notify.capture_source(plan.model);
        end if;
        perform sicantik_notify.note_publication(plan.model);
        select md5(f.prosrc) into checksum from pg_proc f where f.oid = function.oid;
        return next;
    end loop;
end
$publish_capture$;
comment on function sicantik_notify.publish_capture() is
    'Replaces the bodies of installed hooks whose plan changed; the daemon calls it after each change of configuration';
