-- capture_source(model): the CREATE OR REPLACE FUNCTION statement of one table's hook.
create or replace function sicantik_notify.capture_source(p_model text)
returns text
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $capture_source$
declare
    body text := sicantik_notify.capture_body(p_model);
    mark text := 'hook';
begin
    -- A quote that the body does not contain, whatever names the host's columns have.
    while position('$' || mark in body) > 0 loop
        mark := mark || '_';
    end loop;
    return format($text$create or replace function sicantik_notify.%1$I()
returns trigger
language plpgsql
-- Runs as sicantik_notify_capture, which may insert into event and use its sequences, nothing else: who writes the
-- table needs no right on our schema, and the function has none on the host.
security definer
-- Pinned: names cannot be redirected; a plan cached after a one-row write must not loop over a bulk write;
-- captured dates read the same whatever the session says. No timeout is set here: it would replace the host's own.
set search_path = pg_catalog, pg_temp
set enable_nestloop = off
set "DateStyle" = 'ISO, YMD'
set "TimeZone" = 'UTC'
as $text$,
        'capture_' || (select p.table_name from sicantik_notify.capture_plan p where p.model = p_model))
        || '$' || mark || '$' || body || '$' || mark || '$';
end
$capture_source$;
comment on function sicantik_notify.capture_source(text) is 'The statement that makes the hook function of a model''s table';

-- capture_settings(): pg_proc.proconfig of a hook function, as capture_source() makes it.
create or replace function sicantik_notify.capture_settings()
returns text[]
language sql
immutable
set search_path = pg_catalog, pg_temp
as $capture_settings$
    select array['search_path=pg_catalog, pg_temp', 'enable_nestloop=off', 'DateStyle=ISO, YMD', 'TimeZone=UTC']
$capture_settings$;
comment on function sicantik_notify.capture_settings() is 'The settings that a hook function carries';
