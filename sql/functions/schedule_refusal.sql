-- schedule_refusal(): why cron triggers must not fire in this database; empty: they may. What holds for sending holds for them (a copy
-- would fill its queue with messages that leave when somebody arms it), but any armed daemon will do.
create or replace function sicantik_notify.schedule_refusal()
returns text
language sql
stable
security definer
set search_path = pg_catalog, pg_temp
as $schedule_refusal$
    select p.reason
    from sicantik_notify.delivery_permit((select a.secret_hash from sicantik_notify.arming a limit 1)) p
    where not p.allowed
$schedule_refusal$;
comment on function sicantik_notify.schedule_refusal() is 'Why cron triggers must not fire in this database: a copy never does';
