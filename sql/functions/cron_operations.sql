-- What operators do with jobs and cron triggers (SICANTIK guide §8.3). A job is named by its code or its name, a trigger by its code. Each wakes the
-- daemon; the leader does what was asked for. What cannot be done says so, with the remedy.

-- cron_find(name): the job or the cron trigger of that name; an error where there is none.
create or replace function sicantik_notify.cron_find(p_name text, out job text, out trigger_id bigint, out active boolean)
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $cron_find$
declare
    kind text;
begin
    select j.code, j.active into job, active
    from sicantik_notify.cron_job j
    where j.code = p_name or lower(j.name) = lower(trim(p_name));
    if job is not null then
        return;
    end if;
    select t.id, t.active, t.trigger_type into trigger_id, active, kind from sicantik_notify.trigger t where t.code = p_name;
    if trigger_id is null then
        raise exception 'there is no job and no cron trigger %', p_name
            using errcode = 'P0002', hint = 'see sicantik_notify.v_cron_job and sicantik_notify.v_trigger';
    end if;
    if kind <> 'cron' then
        raise exception 'trigger % is of type %, and has no schedule', p_name, kind
            using errcode = '55000', hint = 'sicantik_notify.v_trigger lists the triggers of type cron';
    end if;
end
$cron_find$;
comment on function sicantik_notify.cron_find(text) is 'The job or cron trigger of that code or name';

-- cron_run_now(name): the leader runs it now, whether it is due or not, and an inactive job too. Its schedule goes on as it was.
create or replace function sicantik_notify.cron_run_now(p_name text)
returns text
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $cron_run_now$
declare
    found  record;
    wrong  text;
    before text;
begin
    found := sicantik_notify.cron_find(p_name);
    if found.trigger_id is not null and not found.active then
        raise exception 'trigger % is inactive', p_name
            using errcode = '55000', hint = format('activate it first: select sicantik_notify.cron_enable(%L)', p_name);
    end if;
    select s.problem into wrong from sicantik_notify.cron_state s where s.trigger_id = found.trigger_id;
    if wrong is not null then
        raise exception 'trigger % cannot run: %', p_name, wrong using errcode = '55000', hint = 'sicantik-notifyd check says more';
    end if;
    select r.asked_by into before from sicantik_notify.cron_request r
    where r.job = found.job or r.trigger_id = found.trigger_id
    order by r.id limit 1;
    if before is not null then
        return format('%s was asked for already, by %s, and has not begun yet', p_name, before);
    end if;
    insert into sicantik_notify.cron_request (job, trigger_id, asked_by) values (found.job, found.trigger_id, sicantik_notify.asker());
    perform pg_notify('sicantik_notify_schedule', '');
    return format('%s runs now; see sicantik_notify.v_cron_run', p_name);
end
$cron_run_now$;
comment on function sicantik_notify.cron_run_now(text) is 'Run Manually: the leader runs the job or cron trigger now';

-- cron_switch(name, active): see cron_enable and cron_disable.
create or replace function sicantik_notify.cron_switch(p_name text, p_active boolean)
returns text
language plpgsql
set search_path = pg_catalog, pg_temp
as $cron_switch$
declare
    found record;
    word constant text := case when p_active then 'active' else 'inactive' end;
begin
    found := sicantik_notify.cron_find(p_name);
    if found.active = p_active then
        return format('%s is %s already', p_name, word);
    end if;
    update sicantik_notify.cron_job j set active = p_active where j.code = found.job;
    update sicantik_notify.trigger t set active = p_active where t.id = found.trigger_id;
    perform pg_notify('sicantik_notify_schedule', '');
    return format('%s is %s now', p_name, word);
end
$cron_switch$;
comment on function sicantik_notify.cron_switch(text, boolean) is 'Switches a job or cron trigger on or off';

create or replace function sicantik_notify.cron_enable(p_name text)
returns text
language sql
security definer
set search_path = pg_catalog, pg_temp
as $cron_enable$
    select sicantik_notify.cron_switch(p_name, true)
$cron_enable$;
comment on function sicantik_notify.cron_enable(text) is 'Enable: a job runs at once and then at its interval, a cron trigger at its next time';

create or replace function sicantik_notify.cron_disable(p_name text)
returns text
language sql
security definer
set search_path = pg_catalog, pg_temp
as $cron_disable$
    select sicantik_notify.cron_switch(p_name, false)
$cron_disable$;
comment on function sicantik_notify.cron_disable(text) is
    'Disable: it does not run by itself. Process Notification Queue disabled: no instance takes messages from its next claim on';

-- cron_retime(name, number, unit): every so many minutes, hours, days or weeks; a trigger in months too.
create or replace function sicantik_notify.cron_retime(p_name text, p_number integer, p_unit text)
returns text
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $cron_retime$
declare
    found record;
    unit constant text := case when p_unit in ('minute', 'hour', 'day', 'week', 'month') then p_unit || 's' else p_unit end;
    most constant integer := 100000;
begin
    found := sicantik_notify.cron_find(p_name);
    if p_number is null or p_number not between 1 and most then
        raise exception 'the interval must be from 1 to %', most using errcode = '22023';
    end if;
    if unit is null or unit not in ('minutes', 'hours', 'days', 'weeks', 'months') or (unit = 'months' and found.job is not null) then
        raise exception 'there is no unit %', coalesce(p_unit, 'NULL')
            using errcode = '22023', hint = 'minutes, hours, days, weeks' || case when found.job is null then ', months' else '' end;
    end if;
    update sicantik_notify.cron_job j set interval_number = p_number, interval_type = unit, retimed_at = sicantik_notify.clock()
    where j.code = found.job;
    update sicantik_notify.trigger t set interval_number = p_number, interval_type = unit, cron_expression = null, retimed_at = sicantik_notify.clock()
    where t.id = found.trigger_id;
    perform pg_notify('sicantik_notify_schedule', '');
    return format('%s runs every %s %s', p_name, p_number, unit);
end
$cron_retime$;
comment on function sicantik_notify.cron_retime(text, integer, text) is 'Edit: another interval, which counts from now';

-- cron_retime(trigger, expression): at the minutes of a cron expression of five fields.
create or replace function sicantik_notify.cron_retime(p_name text, p_expression text)
returns text
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $cron_retime_expression$
declare
    found record;
begin
    found := sicantik_notify.cron_find(p_name);
    if found.job is not null then
        raise exception 'job % runs at an interval', p_name
            using errcode = '22023', hint = format('select sicantik_notify.cron_retime(%L, 5, ''minutes'')', p_name);
    end if;
    if array_length(regexp_split_to_array(trim(p_expression), '\s+'), 1) is distinct from 5 then
        raise exception '% is no cron expression of five fields', quote_nullable(p_expression)
            using errcode = '22023', hint = 'minute hour day month weekday, such as 0 8 * * 1-5; or cron_retime(name, 1, ''days'')';
    end if;
    update sicantik_notify.trigger t set cron_expression = trim(p_expression), retimed_at = sicantik_notify.clock()
    where t.id = found.trigger_id;
    perform pg_notify('sicantik_notify_schedule', '');
    return format('%s runs at %s; check says when that is', p_name, trim(p_expression));
end
$cron_retime_expression$;
comment on function sicantik_notify.cron_retime(text, text) is 'Edit: another cron expression of a trigger';

-- Jobs that are changed by plain SQL wake the leader too.
create or replace function sicantik_notify.schedule_changed()
returns trigger
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $schedule_changed$
begin
    perform pg_notify('sicantik_notify_schedule', '');
    return null;
end
$schedule_changed$;
comment on function sicantik_notify.schedule_changed() is 'Trigger: a job changed';
create or replace trigger schedule_changed after insert or update or delete or truncate on sicantik_notify.cron_job
    for each statement execute function sicantik_notify.schedule_changed();
