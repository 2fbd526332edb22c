-- capture_acknowledge(about): takes alarms of missed changes off v_problem, once somebody has made up for them (command backfill) or has
-- decided that nobody need be told. about: as v_problem names it ("capture misses", "hook gap of sicantik_permit"); empty: all of
-- them. Returns how many.
create or replace function sicantik_notify.capture_acknowledge(p_about text default null)
returns bigint
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $capture_acknowledge$
declare
    taken bigint;
begin
    delete from sicantik_notify.problem p
    where (p.key = 'capture misses' or starts_with(p.key, 'hook gap of ')) and p.key = coalesce(p_about, p.key);
    get diagnostics taken = row_count;
    if taken = 0 and p_about is not null then
        raise exception 'v_problem has no alarm of missed changes %', quote_literal(p_about)
            using errcode = 'P0002', hint = 'such as ''capture misses'' or ''hook gap of sicantik_permit''; empty: all of them';
    end if;
    return taken;
end
$capture_acknowledge$;
comment on function sicantik_notify.capture_acknowledge(text) is 'Takes alarms of missed changes off v_problem';
