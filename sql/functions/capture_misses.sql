-- capture_misses(): host writes that were not captured since the last look. Moves the mark, raises the alarm "capture
-- misses" and keeps the count in it until somebody settles it (backfill, or
-- capture_acknowledge), all in one transaction: a miss is never silent,
-- whoever dies when. Also notes until when each hook was sound, and says so when one was not for a while (hook_check).
--
-- A sequence may jump ahead when the server crashes (it logs 32 values at once), or when a standby takes over. Then, once,
-- the number is an upper bound. A crash resets the server's statistics; that is how it shows, since a crash of a single
-- process restarts the others without a new postmaster.
create or replace function sicantik_notify.capture_misses()
returns table (missed bigint, unknown boolean, since timestamptz)
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $capture_misses$
declare
    seen      sicantik_notify.capture_state; -- locked: two daemons look one after the other
    counted   bigint;
    epoch     timestamptz;
    line      integer;
    now_at    constant timestamptz := clock_timestamp();
    all_missed bigint;
    bound     boolean;
    begun     timestamptz;
    plan      record;
begin
    select * into seen from sicantik_notify.capture_state for update;
    select case when m.is_called then m.last_value else 0 end into counted from sicantik_notify.miss m;
    select b.stats_reset into epoch from pg_stat_bgwriter b;
    line := ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::integer;
    since := seen.checked_at;
    if counted < seen.misses then -- somebody set the sequence back
        missed := counted;
        unknown := true;
    else
        missed := counted - seen.misses;
        unknown := missed > 0 and seen.checked_at is not null
                   and (seen.server_epoch is distinct from epoch or seen.timeline is distinct from line);
    end if;

    all_missed := missed;
    bound := unknown;
    if missed > 0 or unknown then
        if exists (select from sicantik_notify.problem p where p.key = 'capture misses') then
            all_missed := seen.alarm_misses + missed;
            bound := seen.alarm_bound or unknown;
        end if;
        begun := coalesce((select p.since from sicantik_notify.problem p where p.key = 'capture misses'), seen.checked_at, now_at);
        perform sicantik_notify.problem_raise(
            'capture misses', begun, 'alarm',
            format(case when bound then '%s host writes at most (the server crashed or moved, the count is a bound)'
                        when all_missed = 1 then '%s host write'
                        else '%s host writes' end
                   || ' between %s and %s ' || case when all_missed = 1 then 'was' else 'were' end || ' not captured: nobody was told of '
                   || case when all_missed = 1 then 'it' else 'them' end,
                   all_missed, begun::timestamptz(0), now_at::timestamptz(0)),
            'the server''s log has the reasons ("was not captured"). Run sicantik-notifyd backfill: it shows whom it would tell '
            'of what changed since then, and asks. If nobody need be told: select sicantik_notify.capture_acknowledge(''capture misses'')');
    else
        all_missed := seen.alarm_misses;
        bound := seen.alarm_bound;
    end if;
    update sicantik_notify.capture_state s
    set misses = counted, server_epoch = epoch, timeline = line, checked_at = now_at, alarm_misses = all_missed,
        alarm_bound = bound, unknown_since = case when unknown then coalesce(seen.checked_at, now_at) else s.unknown_since end;

    for plan in
        select p.model, p.table_name, h.sound_at, h.finding as before, f.finding
        from sicantik_notify.capture_plan p
        left join sicantik_notify.hook_check h on h.model = p.model
        left join (select x.model, string_agg(x.finding, '; ') as finding
                   from sicantik_notify.hook_findings() x where x.severity = 'alarm' group by x.model) f on f.model = p.model
        where p.active
    loop
        if plan.finding is null and plan.before is not null and plan.sound_at is not null then
            perform sicantik_notify.problem_raise(
                'hook gap of ' || plan.table_name, plan.sound_at, 'alarm',
                format('between %s and %s changes of %s may not have been captured: %s', plan.sound_at::timestamptz(0),
                       now_at::timestamptz(0), plan.table_name, plan.before),
                format('run sicantik-notifyd backfill: it shows whom it would tell of what changed then, and asks. If nobody need be '
                       'told: select sicantik_notify.capture_acknowledge(%L)', 'hook gap of ' || plan.table_name));
        end if;
        insert into sicantik_notify.hook_check as h (model, sound_at, finding)
        values (plan.model, case when plan.finding is null then now_at end, plan.finding)
        on conflict (model) do update
        set sound_at = coalesce(excluded.sound_at, h.sound_at), finding = excluded.finding;
    end loop;
    return next;
end
$capture_misses$;
comment on function sicantik_notify.capture_misses() is 'Host writes that were not captured since the last look';
