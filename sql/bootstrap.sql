-- Roles and schema, run by `sicantik-notifyd migrate` as the role that connects (superuser, or CREATEROLE plus
-- CREATE on the database). Safe to run again; two databases of one cluster share the roles.
--
--   sicantik_notify_owner     owns schema, tables and functions; nobody logs in as it
--   sicantik_notify_capture   owns the hook functions: may INSERT into event and use its sequences, nothing else
--   sicantik_notifyd          the daemon: reads configuration, moves work; owns nothing, creates nothing
--   sicantik_notify_operator  people who operate: functions and views
--   sicantik_notify_viewer    people who look: views
do $bootstrap$
declare
    wanted record;
    -- From version 16 on a member may hold a role without the right to become it.
    become text := case when current_setting('server_version_num')::integer >= 160000 then 'set' else 'member' end;
begin
    for wanted in
        select *
        from (values
            ('sicantik_notify_owner', 'nologin'),
            ('sicantik_notify_capture', 'nologin'),
            ('sicantik_notifyd', 'login'),
            ('sicantik_notify_operator', 'nologin'),
            ('sicantik_notify_viewer', 'nologin')
        ) as r(name, login)
    loop
        if not exists (select from pg_catalog.pg_roles where rolname = wanted.name) then
            begin
                execute format('create role %I %s nosuperuser nocreatedb nocreaterole noreplication',
                               wanted.name, wanted.login);
            exception when duplicate_object or unique_violation then
                null; -- another database of the cluster was quicker
            end;
        end if;
    end loop;

    -- CREATE OR REPLACE of a hook function by its owner's member keeps the owner: publish_capture() rests on it.
    if not pg_catalog.pg_has_role('sicantik_notify_owner', 'sicantik_notify_capture', 'member') then
        grant sicantik_notify_capture to sicantik_notify_owner;
    end if;
    if not pg_catalog.pg_has_role('sicantik_notify_operator', 'sicantik_notify_viewer', 'member') then
        grant sicantik_notify_viewer to sicantik_notify_operator;
    end if;
    -- The installing role works as the owner from here on.
    if not pg_catalog.pg_has_role(current_user, 'sicantik_notify_owner', become) then
        execute format('grant sicantik_notify_owner to %I', current_user);
    end if;
    if to_regnamespace('sicantik_notify') is null then
        create schema sicantik_notify authorization sicantik_notify_owner;
    end if;
end
$bootstrap$;
