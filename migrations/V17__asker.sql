-- Who asked is told by one function for firings, runs and campaigns: asker(). Locks: none but of the catalogue.
drop function if exists sicantik_notify.cron_asker();
comment on column sicantik_notify.firing.fired_by is
    'Database user, with the user of the command line where that is another one; or name of the token';
