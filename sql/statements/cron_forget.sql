-- Forgets runs that are older than cron_run_days, and pauses of recipients that are over. How many of each.
with runs as (
    delete from sicantik_notify.cron_run r
    where r.started_at < sicantik_notify.clock() - make_interval(days => coalesce(
        (select s.value::integer from sicantik_notify.setting s where s.key = 'cron_run_days' and s.value ~ '^\s*[1-9][0-9]{0,3}\s*$'), 30))
    returning 1
), paces as (
    delete from sicantik_notify.recipient_pace p where p.next_send_at < sicantik_notify.clock() returning 1
)
select (select count(*) from runs), (select count(*) from paces)
