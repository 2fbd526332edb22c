-- capture_misses(): host writes that were not captured since the last look, and moves the mark. After a crash of the
-- server a sequence may have jumped ahead, so a changed server start or timeline makes the count unknown, once.
create or replace function sicantik_notify.capture_misses()
returns table (missed bigint, unknown boolean, since timestamptz)
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $capture_misses$
declare
    seen sicantik_notify.capture_state;
    counted bigint;
    line integer;
begin
    select * into seen from sicantik_notify.capture_state for update;
    select case when m.is_called then m.last_value else 0 end into counted from sicantik_notify.miss m;
    select c.timeline_id into line from pg_control_checkpoint() c;
    missed := counted - seen.misses;
    unknown := missed > 0 and seen.postmaster_start is not null
               and (seen.postmaster_start <> pg_postmaster_start_time() or seen.timeline <> line);
    since := seen.checked_at;
    update sicantik_notify.capture_state
    set misses = counted, postmaster_start = pg_postmaster_start_time(), timeline = line, checked_at = clock_timestamp(),
        unknown_since = case when unknown then coalesce(seen.checked_at, clock_timestamp()) else unknown_since end
    where missed <> 0 or postmaster_start is distinct from pg_postmaster_start_time() or timeline is distinct from line
       or checked_at is null or checked_at < clock_timestamp() - interval '1 minute';
    return next;
end
$capture_misses$;
comment on function sicantik_notify.capture_misses() is 'Host writes that were not captured since the last look';
