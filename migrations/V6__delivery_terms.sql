-- Terms of delivery: rate limits, batches, quiet hours, storm guard, blacklist, retention.
-- Locks: ACCESS EXCLUSIVE on rule, queue and log for an instant (columns without a rewrite), and on queue while five small
-- indexes are built; nothing on event, which hooks write.

alter table sicantik_notify.rule
    add column send_window text
        -- "08:00-17:00", "Mon-Fri 08:00-17:00, Sat 08:00-12:00"; a window whose end is not after its start ends the next day.
        check (send_window ~* '^\s*((mon|tue|wed|thu|fri|sat|sun|sen|sel|rab|kam|jum|sab|min)(-(mon|tue|wed|thu|fri|sat|sun|sen|sel|rab|kam|jum|sab|min))?\s+)?([01]\d|2[0-3]):[0-5]\d-(([01]\d|2[0-3]):[0-5]\d|24:00)\s*(,\s*((mon|tue|wed|thu|fri|sat|sun|sen|sel|rab|kam|jum|sab|min)(-(mon|tue|wed|thu|fri|sat|sun|sen|sel|rab|kam|jum|sab|min))?\s+)?([01]\d|2[0-3]):[0-5]\d-(([01]\d|2[0-3]):[0-5]\d|24:00)\s*)*$'),
    add column storm_limit integer default 500 check (storm_limit > 0);
comment on column sicantik_notify.rule.send_window is
    'Quiet hours are outside of it: 08:00-17:00, or with days Mon-Fri 08:00-17:00, Sat 08:00-12:00 (Sen-Jum, Sab too), in the '
    'time zone of the trigger; empty: at any time';
comment on column sicantik_notify.rule.storm_limit is
    'Messages that events may enqueue in ten minutes; what is over is held until rule_release or rule_discard. Empty: no guard';

alter table sicantik_notify.queue
    add column retry_of bigint,
    add column urgent   boolean not null default false;
comment on column sicantik_notify.queue.retry_of is 'The finished message that this one repeats';
comment on column sicantik_notify.queue.urgent is
    'Process now: schedule and quiet hours do not count; rate limit, blacklist and the permit to send do';
comment on column sicantik_notify.queue.waiting_for is
    'Why it waits, if not for its time: rule_inactive, rate_limit (until its rule has room), quiet_hours, batch, provider, '
    'storm_guard (held)';

drop index sicantik_notify.queue_not_due_idx;
create index queue_not_due_idx on sicantik_notify.queue (scheduled_at)
    where state = 'pending' and not ready and waiting_for is distinct from 'rule_inactive'
      and waiting_for is distinct from 'rate_limit';
-- Messages over their rule's limit, in the order in which they get room.
create index queue_rate_idx on sicantik_notify.queue (rule_id, urgent desc, priority desc, scheduled_at, id)
    where state = 'pending' and waiting_for = 'rate_limit';
create index queue_rule_ready_idx on sicantik_notify.queue (rule_id, scheduled_at) where state = 'pending' and ready;
create index queue_held_idx on sicantik_notify.queue (rule_id, waiting_for, id) where state = 'held';
create unique index queue_retry_of_idx on sicantik_notify.queue (retry_of) where retry_of is not null;
create index log_retry_of_idx on sicantik_notify.log (retry_of) where retry_of is not null;

create table sicantik_notify.rate_state (
    rule_id     bigint primary key references sicantik_notify.rule (id) on delete cascade,
    used        integer not null default 0 check (used >= 0),
    reserved_at timestamptz not null default '-infinity'
) with (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 200);
comment on table sicantik_notify.rate_state is
    'Rate limit of each rule: whoever reserves or frees places holds its row, so the count is exact over all instances';
comment on column sicantik_notify.rate_state.rule_id is 'Rule';
comment on column sicantik_notify.rate_state.used is 'Rows of rate_usage';
comment on column sicantik_notify.rate_state.reserved_at is
    'Last reservation: no later one is counted as earlier, whatever the clock does';
insert into sicantik_notify.rate_state (rule_id) select r.id from sicantik_notify.rule r;

create table sicantik_notify.rate_usage (
    rule_id     bigint not null references sicantik_notify.rate_state (rule_id) on delete cascade,
    message_id  bigint not null,
    reserved_at timestamptz not null,
    ended_at    timestamptz
) with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);
create index rate_usage_ended_at_idx on sicantik_notify.rate_usage (rule_id, ended_at);
create unique index rate_usage_open_idx on sicantik_notify.rate_usage (message_id) where ended_at is null;
comment on table sicantik_notify.rate_usage is
    'Places taken within a rule''s limit: reserved with the claim, free again one period after the send has ended';
comment on column sicantik_notify.rate_usage.rule_id is 'Rule';
comment on column sicantik_notify.rate_usage.message_id is 'Message';
comment on column sicantik_notify.rate_usage.reserved_at is 'When it was claimed';
comment on column sicantik_notify.rate_usage.ended_at is
    'When its call had ended; empty: it is under way; -infinity: it was given back without a call';

create table sicantik_notify.batch_series (
    rule_id bigint not null references sicantik_notify.rule (id) on delete cascade,
    series  text not null,
    slot_at timestamptz not null,
    taken   integer not null,
    primary key (rule_id, series)
);
comment on table sicantik_notify.batch_series is 'Batches: the last slot of each series, and how many messages it has';
comment on column sicantik_notify.batch_series.rule_id is 'Rule';
comment on column sicantik_notify.batch_series.series is 'One cron run or campaign; empty: the rolling series of row events';
comment on column sicantik_notify.batch_series.slot_at is 'When the slot''s messages go';
comment on column sicantik_notify.batch_series.taken is 'Messages in it';

create table sicantik_notify.storm_count (
    rule_id bigint not null references sicantik_notify.rule (id) on delete cascade,
    minute  timestamptz not null,
    passed  integer not null,
    held    integer not null,
    primary key (rule_id, minute)
);
comment on table sicantik_notify.storm_count is 'Storm guard: what each rule enqueued in each of the last minutes';
comment on column sicantik_notify.storm_count.rule_id is 'Rule';
comment on column sicantik_notify.storm_count.minute is 'Minute';
comment on column sicantik_notify.storm_count.passed is 'Messages that were enqueued';
comment on column sicantik_notify.storm_count.held is 'Messages that were held';

create table sicantik_notify.blacklist (
    phone             text primary key check (phone ~ '^\+[0-9]{6,15}$'),
    active            boolean not null default true,
    reason            text,
    source            text not null default 'operator',
    blocked_count     bigint not null default 0,
    last_blocked_date timestamptz,
    created_at        timestamptz not null default sicantik_notify.clock(),
    changed_at        timestamptz not null default sicantik_notify.clock()
);
comment on table sicantik_notify.blacklist is
    'Daftar hitam: numbers that get nothing, beside those of the host''s phone_blacklist. Use blacklist_add and blacklist_remove';
comment on column sicantik_notify.blacklist.phone is 'Number, normalised (E.164)';
comment on column sicantik_notify.blacklist.active is 'False: taken off the list; the row keeps its history';
comment on column sicantik_notify.blacklist.reason is 'Why';
comment on column sicantik_notify.blacklist.source is 'operator, or what put it here (a STOP message, an import)';
comment on column sicantik_notify.blacklist.blocked_count is 'Messages that were not sent because of it';
comment on column sicantik_notify.blacklist.last_blocked_date is 'When that last happened';
comment on column sicantik_notify.blacklist.created_at is 'When it was first added';
comment on column sicantik_notify.blacklist.changed_at is 'When it was last added or taken off';

insert into sicantik_notify.setting (key, value, description) values
    ('log_retention_days', '90', 'Days that log, attempts and decisions are kept; dropped by whole months');
