-- Campaigns: one message for each record that a domain means (SICANTIK guide §5).
-- Locks: ACCESS EXCLUSIVE on queue, log and decision for an instant (columns without a rewrite), and on queue while three small
-- indexes are built; SHARE on the partitions of log and decision while an index is built, some seconds a million rows; nothing on
-- event, which hooks write.

create table sicantik_notify.campaign (
    id              bigint generated always as identity primary key,
    code            text unique check (code ~ '^[A-Za-z0-9_]*[A-Za-z_][A-Za-z0-9_]*$'),
    name            text not null check (name <> ''),
    description     text,
    rule            text not null references sicantik_notify.rule (code) on update cascade,
    target_model    text not null check (target_model ~ '^[a-z0-9_.]+$'),
    target_domain   text not null default '[]',
    template_key    text check (template_key ~ '^[A-Za-z0-9_]+$'),
    scheduled_date  timestamptz,
    state           text not null default 'draft'
                    check (state in ('draft', 'scheduled', 'running', 'paused', 'completed', 'cancelled')),
    created_by      text not null default session_user,
    created_at      timestamptz not null default sicantik_notify.clock(),
    started_at      timestamptz,
    materialised_at timestamptz,
    running_since   timestamptz,
    done_before     bigint not null default 0,
    paused_at       timestamptz,
    finished_at     timestamptz,
    targets         bigint,
    next_record_id  bigint,
    last_error      text,
    check (state <> 'scheduled' or scheduled_date is not null),
    check ((state in ('completed', 'cancelled')) = (finished_at is not null)),
    check (state <> 'paused' or paused_at is not null),
    check (state not in ('running', 'paused', 'completed') or started_at is not null)
) with (fillfactor = 50);
comment on table sicantik_notify.campaign is 'Kampanye: a message for each record that a domain means, by the terms of a rule (SICANTIK guide §5)';
comment on column sicantik_notify.campaign.id is 'Key';
comment on column sicantik_notify.campaign.code is 'Name for scripts, where one is wanted: letters, digits, underscore, not only digits';
comment on column sicantik_notify.campaign.name is 'Name for people';
comment on column sicantik_notify.campaign.description is 'For people';
comment on column sicantik_notify.campaign.rule is 'Code of the rule whose conditions, recipients, template and limits hold';
comment on column sicantik_notify.campaign.target_model is 'Odoo model of the records; that of the rule''s trigger';
comment on column sicantik_notify.campaign.target_domain is 'Odoo domain that means the records; evaluated when the campaign starts';
comment on column sicantik_notify.campaign.template_key is 'Template instead of the rule''s; empty: the rule''s';
comment on column sicantik_notify.campaign.scheduled_date is 'When it starts by itself, once it is scheduled';
comment on column sicantik_notify.campaign.state is
    'draft, scheduled, running, paused, completed, cancelled. Changed by campaign_schedule, _start, _pause, _resume, _cancel only';
comment on column sicantik_notify.campaign.created_by is 'Who made it';
comment on column sicantik_notify.campaign.created_at is 'When it was made';
comment on column sicantik_notify.campaign.started_at is 'When it was started';
comment on column sicantik_notify.campaign.materialised_at is 'When its targets had been collected';
comment on column sicantik_notify.campaign.running_since is 'When it was started or resumed last';
comment on column sicantik_notify.campaign.done_before is 'Messages that had ended then: the rate counts from there';
comment on column sicantik_notify.campaign.paused_at is 'When it was paused last';
comment on column sicantik_notify.campaign.finished_at is 'When it was completed or cancelled';
comment on column sicantik_notify.campaign.targets is 'Records that its domain meant at the start';
comment on column sicantik_notify.campaign.next_record_id is
    'No target below it waits: where the search for the next ones begins. A hint; what waits is in campaign_target';
comment on column sicantik_notify.campaign.last_error is 'Why the daemon stopped it last';

create table sicantik_notify.campaign_target (
    campaign_id bigint not null,
    record_id   bigint not null,
    primary key (campaign_id, record_id)
) with (autovacuum_vacuum_scale_factor = 0.05);
-- No foreign key: it would look at the same row of campaign once for each of a million targets.
comment on table sicantik_notify.campaign_target is
    'Records that wait for their campaign to reach them: deleted in the transaction that enqueues their messages or says why there are none';
comment on column sicantik_notify.campaign_target.campaign_id is 'Campaign';
comment on column sicantik_notify.campaign_target.record_id is 'id of the host''s record';

create table sicantik_notify.campaign_count (
    campaign_id bigint not null references sicantik_notify.campaign (id) on delete cascade,
    outcome     text not null,
    n           bigint not null,
    primary key (campaign_id, outcome)
) with (fillfactor = 50);
comment on table sicantik_notify.campaign_count is
    'How many of each campaign came to what, as far as campaign_delta was added up; written by the leading instance only';
comment on column sicantik_notify.campaign_count.campaign_id is 'Campaign';
comment on column sicantik_notify.campaign_count.outcome is
    'Targets: released (a message at least), or why there is none (outcomes of decision). Messages: messages (enqueued), and sent, '
    'failed, cancelled, skipped (blacklist)';
comment on column sicantik_notify.campaign_count.n is 'How many';

create table sicantik_notify.campaign_delta (
    campaign_id bigint not null,
    outcome     text not null,
    n           bigint not null
) with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);
create index campaign_delta_idx on sicantik_notify.campaign_delta (campaign_id);
comment on table sicantik_notify.campaign_delta is
    'Changes of campaign_count, written with what they count: insert only, so that no two instances wait for each other; added up by the leader';
comment on column sicantik_notify.campaign_delta.campaign_id is 'Campaign';
comment on column sicantik_notify.campaign_delta.outcome is 'As in campaign_count';
comment on column sicantik_notify.campaign_delta.n is 'By how many it moved; a message that is repeated takes its first end back';

alter table sicantik_notify.queue add column campaign_id bigint references sicantik_notify.campaign (id);
comment on column sicantik_notify.queue.campaign_id is 'Campaign that it belongs to';
comment on column sicantik_notify.queue.waiting_for is
    'Why it waits, if not for its time: rule_inactive, campaign_paused, rate_limit (until its rule has room), quiet_hours, batch, '
    'provider, storm_guard (held)';
alter table sicantik_notify.log add column campaign_id bigint;
comment on column sicantik_notify.log.campaign_id is 'Campaign that it belonged to';
alter table sicantik_notify.decision add column campaign_id bigint;
comment on column sicantik_notify.decision.campaign_id is 'Campaign whose target the record was; empty: a change or a firing';
comment on column sicantik_notify.decision.event_id is 'First event of the change; empty for a campaign''s target';
comment on column sicantik_notify.decision.outcome is
    'enqueued, trigger_condition, rule_condition, no_rule, no_recipient, no_phone, duplicate, repeated, name_mismatch, grouped, gone, error';

-- One message a campaign, record and recipient, while it waits. Over all its time: a target is deleted with its enqueuing.
create unique index queue_campaign_idx on sicantik_notify.queue (campaign_id, record_id, phone) where campaign_id is not null;
create index queue_campaign_paused_idx on sicantik_notify.queue (campaign_id) where waiting_for = 'campaign_paused';
drop index sicantik_notify.queue_not_due_idx;
create index queue_not_due_idx on sicantik_notify.queue (scheduled_at)
    where state = 'pending' and not ready and waiting_for is distinct from 'rule_inactive'
      and waiting_for is distinct from 'rate_limit' and waiting_for is distinct from 'campaign_paused';
create index log_campaign_idx on sicantik_notify.log (campaign_id) where campaign_id is not null;
create index decision_campaign_idx on sicantik_notify.decision (campaign_id, outcome) where campaign_id is not null and outcome <> 'enqueued';
