-- What moves: events, queue, and who works on them. Locks: new tables only.
--
-- event, queue and attempt are written all day and stay small: vacuum never truncates them (that takes an ACCESS
-- EXCLUSIVE lock, for which a host write would count a miss), runs early and without delay.

create sequence sicantik_notify.event_id_seq as bigint cache 1;
comment on sequence sicantik_notify.event_id_seq is 'Ids of events. CACHE 1: ids of one transaction grow in the order of its writes';

create table sicantik_notify.event (
    id             bigint primary key default nextval('sicantik_notify.event_id_seq'),
    record_id      bigint not null,
    xact           xid8 not null default pg_current_xact_id(),
    occurred_at    timestamptz not null default clock_timestamp(),
    op             "char" not null,
    tries          smallint not null default 0,
    target_trigger bigint,
    target_rule    bigint,
    model          text not null,
    changed        text[],
    old            jsonb,
    new            jsonb
) with (vacuum_truncate = off, toast.vacuum_truncate = off, autovacuum_vacuum_scale_factor = 0,
        autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_cost_delay = 0,
        autovacuum_analyze_scale_factor = 0, autovacuum_analyze_threshold = 10000);
-- Not unique, no foreign key, no further check: nothing here may make the host's write fail or wait.
create index event_record_id_idx on sicantik_notify.event (record_id);
comment on table sicantik_notify.event is
    'Captured changes that wait for evaluation. Never TRUNCATE, CLUSTER or ALTER it while hooks stand: host writes would be missed';
comment on column sicantik_notify.event.id is 'Key; commit order is not id order';
comment on column sicantik_notify.event.record_id is 'id of the host''s record';
comment on column sicantik_notify.event.xact is 'The host''s transaction';
comment on column sicantik_notify.event.occurred_at is 'When the statement ran';
comment on column sicantik_notify.event.op is 'I insert, U update, F fired by hand';
comment on column sicantik_notify.event.tries is 'How often its evaluation failed';
comment on column sicantik_notify.event.target_trigger is 'Only this trigger is meant (fired by hand, set aside and tried again)';
comment on column sicantik_notify.event.target_rule is 'Only this rule is meant';
comment on column sicantik_notify.event.model is 'Odoo model';
comment on column sicantik_notify.event.changed is 'Columns that changed, of those that are watched or read';
comment on column sicantik_notify.event.old is 'Old values of the watched columns';
comment on column sicantik_notify.event.new is 'New values of the watched columns and of those that rules read';

create sequence sicantik_notify.miss as bigint cache 1;
comment on sequence sicantik_notify.miss is
    'Counts host writes that could not be captured. A sequence survives the host''s rollback and needs no lock';
create sequence sicantik_notify.awake as bigint minvalue 0 start 1 cache 1;
comment on sequence sicantik_notify.awake is
    'Until when (Unix time, milliseconds) the daemon is known to look at events without being woken; in the past: since then it is asleep or absent';

create sequence sicantik_notify.event_floor as bigint minvalue 0 start 0 cache 1;
comment on sequence sicantik_notify.event_floor is
    'Size of event in bytes when the daemon last saw it empty. The file never shrinks; the backlog limit counts from here';

-- From now on: a daemon that was never there must not look like one that has been away for half a century.
select setval('sicantik_notify.awake', (extract(epoch from clock_timestamp()) * 1000)::bigint);

create table sicantik_notify.event_set_aside (
    id             bigint generated always as identity primary key,
    set_aside_at   timestamptz not null default sicantik_notify.clock(),
    next_try_at    timestamptz,
    tries          smallint not null,
    model          text not null,
    record_id      bigint not null,
    target_trigger bigint,
    target_rule    bigint,
    error          text not null,
    events         jsonb not null
) with (vacuum_truncate = off);
create index event_set_aside_next_try_at_idx on sicantik_notify.event_set_aside (next_try_at) where next_try_at is not null;
comment on table sicantik_notify.event_set_aside is
    'Events whose evaluation failed for one rule, or at all: tried again a few times, then kept for a person';
comment on column sicantik_notify.event_set_aside.id is 'Key';
comment on column sicantik_notify.event_set_aside.set_aside_at is 'When it was set aside';
comment on column sicantik_notify.event_set_aside.next_try_at is 'When it is tried again; empty: a person must act';
comment on column sicantik_notify.event_set_aside.tries is 'How often it failed';
comment on column sicantik_notify.event_set_aside.model is 'Odoo model';
comment on column sicantik_notify.event_set_aside.record_id is 'id of the host''s record';
comment on column sicantik_notify.event_set_aside.target_trigger is 'The trigger concerned';
comment on column sicantik_notify.event_set_aside.target_rule is 'The rule that failed; empty: none could be evaluated';
comment on column sicantik_notify.event_set_aside.error is 'Why';
comment on column sicantik_notify.event_set_aside.events is 'The events, whole';

create table sicantik_notify.instance (
    id           bigint generated always as identity primary key,
    name         text not null,
    pid          integer not null,
    version      text not null,
    started_at   timestamptz not null default sicantik_notify.clock(),
    heartbeat_at timestamptz not null default sicantik_notify.clock(),
    delivering   boolean not null default true,
    note         text
);
comment on table sicantik_notify.instance is 'Running daemons; the work of one whose heartbeat is older than heartbeat_timeout is taken over';
comment on column sicantik_notify.instance.id is 'Key';
comment on column sicantik_notify.instance.name is 'Host name';
comment on column sicantik_notify.instance.pid is 'Process id on that host';
comment on column sicantik_notify.instance.version is 'Version of the daemon';
comment on column sicantik_notify.instance.started_at is 'When it started';
comment on column sicantik_notify.instance.heartbeat_at is 'Its last sign of life';
comment on column sicantik_notify.instance.delivering is 'False: it captures and evaluates, but must not send';
comment on column sicantik_notify.instance.note is 'Why it does not send';

create sequence sicantik_notify.message_id_seq as bigint;
create sequence sicantik_notify.claim_token_seq as bigint;
comment on sequence sicantik_notify.message_id_seq is 'Ids of messages, the same in queue and log';
comment on sequence sicantik_notify.claim_token_seq is 'Claim numbers: they only grow';

create table sicantik_notify.queue (
    id                 bigint primary key default nextval('sicantik_notify.message_id_seq'),
    state              text not null default 'pending' check (state in ('pending', 'processing', 'held')),
    ready              boolean not null default false,
    waiting_for        text,
    priority           integer not null default 5,
    scheduled_at       timestamptz not null default sicantik_notify.clock(),
    rule_id            bigint not null references sicantik_notify.rule (id),
    trigger_id         bigint references sicantik_notify.trigger (id) on delete set null,
    event_id           bigint,
    xact               xid8,
    model              text,
    record_id          bigint,
    partner_id         bigint,
    partner_name       text,
    phone              text not null check (phone ~ '^\+[0-9]{6,15}$'),
    template_key       text not null,
    context            jsonb not null default '{}',
    tries              integer not null default 0,
    uncertain_sends    integer not null default 0,
    postponed          integer not null default 0,
    possible_duplicate boolean not null default false,
    last_error         text,
    changed_at         timestamptz,
    created_at         timestamptz not null default sicantik_notify.clock(),
    claim_token        bigint,
    claimed_by         bigint,
    lease_until        timestamptz,
    on_wire            bigint,
    check (state <> 'processing' or (claim_token is not null and claimed_by is not null and lease_until is not null)),
    check (not ready or (state = 'pending' and waiting_for is null))
) with (fillfactor = 70, vacuum_truncate = off, toast.vacuum_truncate = off, autovacuum_vacuum_scale_factor = 0,
        autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_cost_delay = 0);
-- The claim reads this index and nothing else: what is not due, parked or held is not in it.
create index queue_ready_idx on sicantik_notify.queue (priority desc, scheduled_at, id) where state = 'pending' and ready;
create index queue_not_due_idx on sicantik_notify.queue (scheduled_at)
    where state = 'pending' and not ready and waiting_for is distinct from 'rule_inactive';
create index queue_rule_idx on sicantik_notify.queue (rule_id, waiting_for) where state = 'pending';
create index queue_no_provider_idx on sicantik_notify.queue (id) where state = 'pending' and waiting_for = 'provider';
-- One message in flight per recipient, over all instances.
create unique index queue_in_flight_idx on sicantik_notify.queue (phone) where state = 'processing';
-- One message per source change, rule and number, while it waits (C3: deleting the claimed events is what guarantees it).
create unique index queue_source_idx on sicantik_notify.queue (xact, record_id, rule_id, phone, model) where xact is not null;
comment on table sicantik_notify.queue is 'Antrian: messages that are not finished. Finished ones leave for log, so its cost does not grow with history';
comment on column sicantik_notify.queue.id is 'Id of the message, kept in log';
comment on column sicantik_notify.queue.state is 'pending, processing (claimed by an instance), held (a person must act)';
comment on column sicantik_notify.queue.ready is 'Due and not parked: the claim looks at these only';
comment on column sicantik_notify.queue.waiting_for is
    'Why a pending message waits: rule_inactive (parked until the rule is active), provider (none can take it now)';
comment on column sicantik_notify.queue.priority is 'Higher first';
comment on column sicantik_notify.queue.scheduled_at is 'Not before';
comment on column sicantik_notify.queue.rule_id is 'Rule';
comment on column sicantik_notify.queue.trigger_id is 'Trigger';
comment on column sicantik_notify.queue.event_id is 'First event of the change';
comment on column sicantik_notify.queue.xact is 'The host''s transaction';
comment on column sicantik_notify.queue.model is 'Odoo model of the record';
comment on column sicantik_notify.queue.record_id is 'id of the record';
comment on column sicantik_notify.queue.partner_id is 'res_partner.id of the recipient';
comment on column sicantik_notify.queue.partner_name is 'Name of the recipient';
comment on column sicantik_notify.queue.phone is 'Number, normalised (E.164)';
comment on column sicantik_notify.queue.template_key is 'Which text';
comment on column sicantik_notify.queue.context is 'Values of the placeholders';
comment on column sicantik_notify.queue.tries is 'Failed tries that count against max_retries';
comment on column sicantik_notify.queue.uncertain_sends is 'How often an answer was lost after the request was written';
comment on column sicantik_notify.queue.postponed is 'How often in a row it was put off without using up a try';
comment on column sicantik_notify.queue.possible_duplicate is 'True once it may have been sent although we do not know';
comment on column sicantik_notify.queue.last_error is 'What went wrong last';
comment on column sicantik_notify.queue.changed_at is 'When the host wrote';
comment on column sicantik_notify.queue.created_at is 'When the message was enqueued';
comment on column sicantik_notify.queue.claim_token is 'Number of the claim; a settle that names another one is stale';
comment on column sicantik_notify.queue.claimed_by is 'Instance that works on it';
comment on column sicantik_notify.queue.lease_until is 'When the claim ends by itself';
comment on column sicantik_notify.queue.on_wire is
    'Provider to which a request may be under way: written before the request, so that a crash leaves no doubt unseen';

create table sicantik_notify.provider_health (
    provider_id   bigint primary key references sicantik_notify.provider (id) on delete cascade,
    open_until    timestamptz,
    failures      real not null default 0,
    last_error    text,
    last_error_at timestamptz,
    last_ok_at    timestamptz
);
comment on table sicantik_notify.provider_health is 'What the daemon knows of each provider';
comment on column sicantik_notify.provider_health.provider_id is 'Which';
comment on column sicantik_notify.provider_health.open_until is 'Paused until then (circuit open)';
comment on column sicantik_notify.provider_health.failures is 'Failures in a row; a lost answer counts half. Five pause the provider';
comment on column sicantik_notify.provider_health.last_error is 'Last failure';
comment on column sicantik_notify.provider_health.last_error_at is 'When';
comment on column sicantik_notify.provider_health.last_ok_at is 'Last success';

create table sicantik_notify.inbound (
    phone           text primary key check (phone ~ '^\+[0-9]{6,15}$'),
    last_inbound_at timestamptz not null
);
comment on table sicantik_notify.inbound is 'When each number last wrote to us: opens Meta''s 24-hour window';
comment on column sicantik_notify.inbound.phone is 'Number, normalised (E.164)';
comment on column sicantik_notify.inbound.last_inbound_at is 'Last inbound message';
