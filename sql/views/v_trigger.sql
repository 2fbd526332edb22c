-- v_trigger: triggers, since when their hook looks for them, and when those with a schedule run.
create view sicantik_notify.v_trigger as
select t.sequence, t.code, t.name, t.active, t.model, t.trigger_type,
       case t.trigger_type
           when 'on_state_change' then format('%s: %s -> %s', t.state_field, coalesce(nullif(t.state_from, ''), '*'),
                                              coalesce(nullif(t.state_to, ''), '*'))
           when 'on_field_change' then format('%s (%s)', t.field_to_watch, t.field_change)
           when 'cron' then coalesce(nullif(t.cron_expression, ''), format('every %s %s', t.interval_number, t.interval_type))
       end as watches,
       t.condition_domain,
       (select count(*) from sicantik_notify.rule r where r.trigger = t.code and r.active) as active_rules,
       case when t.active and t.trigger_type like 'on\_%' then
           (select case when exists (select from sicantik_notify.capture_slot_table s where s.table_name = p.table_name and s.until_lsn is null)
                        then p.updated_at -- the daemon reads the plan in the log's own order
                        else (select max(c.published_at) from sicantik_notify.capture_publication c where c.model = p.model) end
            from sicantik_notify.capture_plan p
            where p.model = t.model and t.code = any (p.triggers))
       end as published_at,
       s.last_run_at as last_run, case when t.active and t.trigger_type = 'cron' then s.next_run_at end as next_run,
       case when t.active and t.trigger_type = 'cron' then coalesce(s.problem, s.last_error, s.note) end as last_error
from sicantik_notify.trigger t
left join sicantik_notify.cron_state s on s.trigger_id = t.id;
comment on view sicantik_notify.v_trigger is
    'Pemicu: triggers; one holds for writes that begin after published_at, provided its hook is installed (v_capture). '
    'last_run, next_run and last_error are those of cron triggers';
