-- What happens by the clock: who leads, which jobs there are, when each is due, what each run did. Locks: new tables; ACCESS EXCLUSIVE
-- on trigger for an instant (columns with constant defaults, no rewrite).

create table sicantik_notify.leader (
    only_row    boolean primary key default true check (only_row),
    term        bigint not null,
    instance_id bigint,
    holder      text,
    since       timestamptz,
    lease_until timestamptz not null
) with (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 200, autovacuum_vacuum_cost_delay = 0);
-- Unique, so that a new term is an update of a key: it waits for every transaction that holds the old one (FOR KEY SHARE), while
-- renewing the lease hinders nobody.
create unique index leader_term_idx on sicantik_notify.leader (term);
comment on table sicantik_notify.leader is
    'The one instance that runs schedules. Each scheduled write names the term, and fails once another has begun';
comment on column sicantik_notify.leader.only_row is 'There is one row';
comment on column sicantik_notify.leader.term is 'Number of the present leadership; it only grows';
comment on column sicantik_notify.leader.instance_id is 'Row of instance that leads; empty: it stopped and gave the lead back';
comment on column sicantik_notify.leader.holder is 'Name and process id of the leader';
comment on column sicantik_notify.leader.since is 'When it began to lead';
comment on column sicantik_notify.leader.lease_until is 'Renewed every second; once it is over, another instance takes the lead';
insert into sicantik_notify.leader (term, lease_until) values (0, 'epoch');

create table sicantik_notify.cron_job (
    code            text primary key check (code ~ '^[a-z0-9_]+$'),
    name            text not null unique,
    active          boolean not null default true,
    interval_number integer not null check (interval_number between 1 and 100000),
    interval_type   text not null check (interval_type in ('minutes', 'hours', 'days', 'weeks')),
    priority        integer not null default 5,
    model           text not null,
    method          text not null,
    description     text not null,
    retimed_at      timestamptz
);
comment on table sicantik_notify.cron_job is 'Jobs that the leader runs (SICANTIK guide §7.4); v_cron_job shows them with their runs';
comment on column sicantik_notify.cron_job.code is 'Key';
comment on column sicantik_notify.cron_job.name is 'Name; the guide''s three begin with "SICANTIK:"';
comment on column sicantik_notify.cron_job.active is 'Whether it runs by itself; an inactive queue job also stops every claim';
comment on column sicantik_notify.cron_job.interval_number is 'Every so many interval_type';
comment on column sicantik_notify.cron_job.interval_type is 'minutes, hours, days, weeks';
comment on column sicantik_notify.cron_job.priority is 'Of several due jobs the highest begins first';
comment on column sicantik_notify.cron_job.model is 'What it works on, as the guide names it';
comment on column sicantik_notify.cron_job.method is 'What it does, as the guide names it';
comment on column sicantik_notify.cron_job.description is 'For people';
comment on column sicantik_notify.cron_job.retimed_at is 'When cron_retime last timed it; from then on its interval counts';

insert into sicantik_notify.cron_job (code, name, interval_number, interval_type, priority, model, method, description) values
    ('process_queue', 'SICANTIK: Process Notification Queue', 1, 'minutes', 20, 'sicantik.notification.queue', 'process_queue',
     'Sweeps the queue: what became due, what waits for a limit or a provider. Messages go at once, not once a minute; while this job '
     'is inactive, no instance takes any'),
    ('process_campaign_batch', 'SICANTIK: Process Campaign Batch', 5, 'minutes', 15, 'sicantik.notification.campaign', 'process_campaign_batch',
     'Starts campaigns that are due and releases their next batch'),
    ('cleanup_logs', 'SICANTIK: Cleanup Old Notification Logs', 1, 'days', 5, 'sicantik.notification.log', 'cleanup_logs',
     'Drops months of log, attempts and decisions after log_retention_days, days of events after event_history_days, runs after cron_run_days'),
    ('partitions', 'Notifyd: Partitions', 1, 'hours', 10, 'sicantik_notify.log', 'ensure_partitions',
     'Makes partitions ahead of time, and empties the DEFAULT ones'),
    ('uncertain_sends', 'Notifyd: Reconcile Uncertain Sends', 1, 'minutes', 18, 'sicantik_notify.attempt', 'recover',
     'Takes over what dead instances left; what may have been sent is flagged. Every instance does so each second too'),
    ('template_sync', 'Notifyd: Sync Meta Templates', 5, 'minutes', 12, 'sicantik_notify.template', 'sync',
     'Asks Meta once a day for the templates of each account; a new account is asked with the next run');

create table sicantik_notify.cron_state (
    id            bigint generated always as identity primary key,
    job           text unique references sicantik_notify.cron_job (code) on update cascade on delete cascade,
    trigger_id    bigint unique references sicantik_notify.trigger (id) on delete cascade,
    fingerprint   text,
    next_run_at   timestamptz,
    last_run_at   timestamptz,
    last_ok_at    timestamptz,
    last_error    text,
    failures      integer not null default 0,
    problem       text,
    note          text,
    note_since    timestamptz,
    run_xact      xid8,
    running_term  bigint,
    running_since timestamptz,
    running_for   text,
    running_due   timestamptz,
    check (num_nonnulls(job, trigger_id) = 1)
) with (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 500, autovacuum_vacuum_cost_delay = 0);
comment on table sicantik_notify.cron_state is 'Where each job and each cron trigger stands; written by the leader within its term';
comment on column sicantik_notify.cron_state.id is 'Key';
comment on column sicantik_notify.cron_state.job is 'The job';
comment on column sicantik_notify.cron_state.trigger_id is 'Or the cron trigger';
comment on column sicantik_notify.cron_state.fingerprint is 'The schedule that next_run_at was computed from; empty: inactive';
comment on column sicantik_notify.cron_state.next_run_at is 'When it is due; changed only together with a run, or with the schedule';
comment on column sicantik_notify.cron_state.last_run_at is 'When its last run began';
comment on column sicantik_notify.cron_state.last_ok_at is 'When its last run that went well began';
comment on column sicantik_notify.cron_state.last_error is 'Error of the last run; empty: it went well';
comment on column sicantik_notify.cron_state.failures is 'Failed runs in a row';
comment on column sicantik_notify.cron_state.problem is 'Why it cannot run as it stands: a schedule that cannot be read, a condition that does not compile';
comment on column sicantik_notify.cron_state.note is 'Why it waits although it is due';
comment on column sicantik_notify.cron_state.note_since is 'Since when problem or note is so';
comment on column sicantik_notify.cron_state.run_xact is 'Transaction of the trigger''s last run: the run is over when its events are evaluated';
comment on column sicantik_notify.cron_state.running_term is 'The term in which the job runs now';
comment on column sicantik_notify.cron_state.running_since is 'Since when';
comment on column sicantik_notify.cron_state.running_for is 'Who asked for the run that goes on; empty: the schedule';
comment on column sicantik_notify.cron_state.running_due is 'When the run that goes on was due';

create table sicantik_notify.cron_request (
    id         bigint generated always as identity primary key,
    job        text references sicantik_notify.cron_job (code) on update cascade on delete cascade,
    trigger_id bigint references sicantik_notify.trigger (id) on delete cascade,
    asked_at   timestamptz not null default sicantik_notify.clock(),
    asked_by   text not null default session_user,
    check (num_nonnulls(job, trigger_id) = 1)
);
comment on table sicantik_notify.cron_request is
    'Runs that somebody asked for and that have not begun. A table of its own: who asks locks nothing that the leader writes';
comment on column sicantik_notify.cron_request.id is 'Key';
comment on column sicantik_notify.cron_request.job is 'The job';
comment on column sicantik_notify.cron_request.trigger_id is 'Or the cron trigger';
comment on column sicantik_notify.cron_request.asked_at is 'When';
comment on column sicantik_notify.cron_request.asked_by is 'Who';

create table sicantik_notify.cron_run (
    id          bigint generated always as identity primary key,
    kind        text not null check (kind in ('job', 'trigger')),
    code        text not null,
    outcome     text not null check (outcome in ('done', 'failed', 'skipped')),
    due_at      timestamptz,
    started_at  timestamptz not null,
    finished_at timestamptz not null default sicantik_notify.clock(),
    asked_by    text,
    missed      integer not null default 0,
    records     bigint not null default 0,
    detail      text,
    error       text,
    xact        xid8,
    term        bigint not null,
    instance    text
);
create index cron_run_code_idx on sicantik_notify.cron_run (kind, code, id desc);
create index cron_run_started_at_idx on sicantik_notify.cron_run (started_at);
comment on table sicantik_notify.cron_run is 'Every run of jobs and cron triggers; kept for cron_run_days';
comment on column sicantik_notify.cron_run.id is 'Key';
comment on column sicantik_notify.cron_run.kind is 'job or trigger';
comment on column sicantik_notify.cron_run.code is 'Which';
comment on column sicantik_notify.cron_run.outcome is 'done, failed, or skipped (missed, and catch_up says skip)';
comment on column sicantik_notify.cron_run.due_at is 'When it was due; empty: somebody asked for it';
comment on column sicantik_notify.cron_run.started_at is 'When it began';
comment on column sicantik_notify.cron_run.finished_at is 'When it ended';
comment on column sicantik_notify.cron_run.asked_by is 'Who asked for it; empty: the schedule';
comment on column sicantik_notify.cron_run.missed is 'Due times before this one that had no run of their own';
comment on column sicantik_notify.cron_run.records is 'Records that it took: events of a trigger, rows of a job';
comment on column sicantik_notify.cron_run.detail is 'What it did, in words';
comment on column sicantik_notify.cron_run.error is 'What went wrong';
comment on column sicantik_notify.cron_run.xact is 'Transaction of the trigger''s events (decisions and messages name it too)';
comment on column sicantik_notify.cron_run.term is 'Term of the leader';
comment on column sicantik_notify.cron_run.instance is 'Name and process id of the leader';

insert into sicantik_notify.setting (key, value, description) values
    ('cron_run_days', '30', 'How many days v_cron_run goes back (1 to 3650)');

alter table sicantik_notify.trigger
    add column anchor_at timestamp,
    add column retimed_at timestamptz,
    add column catch_up text not null default 'once' check (catch_up in ('once', 'all', 'skip'));
comment on column sicantik_notify.trigger.anchor_at is
    'cron by interval: a run in local time of timezone from which the others are counted; empty: 08:00 of the day when the trigger was '
    'made (days, weeks, months) or its midnight (minutes, hours)';
comment on column sicantik_notify.trigger.retimed_at is 'cron: when cron_retime last timed it; counts as another schedule';
comment on column sicantik_notify.trigger.catch_up is
    'cron: after times when nobody ran, once runs the latest of them, all runs each (the last 24 at most), skip none';
comment on column sicantik_notify.trigger.cron_expression is
    'cron: minute hour day month weekday, such as 0 8 * * 1-5; or empty to use the interval';
