-- Repetition, grouping, wrong names, and a history of evaluated events.
-- Locks: ACCESS EXCLUSIVE on rule for an instant; nothing on event, which hooks write.

alter table sicantik_notify.rule
    add column repeat_policy    text not null default 'auto'
                                check (repeat_policy in ('auto', 'every_event', 'once_per_record', 'once_per_value', 'cooldown')),
    add column repeat_field     text,
    add column repeat_cooldown  integer not null default 1440 check (repeat_cooldown > 0),
    add column group_by         text not null default 'none' check (group_by in ('none', 'recipient')),
    add column on_name_mismatch text not null default 'warn' check (on_name_mismatch in ('warn', 'hold', 'skip')),
    add check (repeat_policy <> 'once_per_value' or coalesce(repeat_field, '') <> '');
comment on column sicantik_notify.rule.repeat_policy is
    'How often one recipient hears of one record: every_event, once_per_record, once_per_value (again when repeat_field has another value), '
    'cooldown (again after repeat_cooldown). auto: every_event, but under a cron trigger once for each value of the dates that '
    'its condition reads, or a cooldown of a day where it reads none';
comment on column sicantik_notify.rule.repeat_field is 'once_per_value: the field, or several with commas';
comment on column sicantik_notify.rule.repeat_cooldown is 'cooldown: minutes before the same recipient hears of the same record again';
comment on column sicantik_notify.rule.group_by is
    'recipient: one run of a cron trigger gives each recipient one message, with the count and the list of its records';
comment on column sicantik_notify.rule.on_name_mismatch is
    'Where the applicant''s name and the partner''s differ: warn (send, and say so), hold (for a person), skip';

create table sicantik_notify.repeat_mark (
    rule_id    bigint not null references sicantik_notify.rule (id) on delete cascade,
    phone      text not null,
    record_id  bigint not null,
    model      text not null,
    value      text not null default '',
    marked_at  timestamptz not null default sicantik_notify.clock(),
    message_id bigint,
    primary key (rule_id, record_id, phone, model, value)
);
create index repeat_mark_marked_at_idx on sicantik_notify.repeat_mark (marked_at);
comment on table sicantik_notify.repeat_mark is
    'Who was told what already: written with the message, outlives the log, and is what keeps a daily reminder from being sent daily';
comment on column sicantik_notify.repeat_mark.rule_id is 'Rule';
comment on column sicantik_notify.repeat_mark.phone is 'Recipient: the normalised number';
comment on column sicantik_notify.repeat_mark.record_id is 'id of the host''s record';
comment on column sicantik_notify.repeat_mark.model is 'Odoo model of the record';
comment on column sicantik_notify.repeat_mark.value is 'once_per_value: the value; otherwise empty';
comment on column sicantik_notify.repeat_mark.marked_at is 'When the message was enqueued';
comment on column sicantik_notify.repeat_mark.message_id is 'The message';

create table sicantik_notify.digest (
    id           bigint generated always as identity primary key,
    created_at   timestamptz not null default sicantik_notify.clock(),
    rule_id      bigint not null references sicantik_notify.rule (id) on delete cascade,
    trigger_id   bigint references sicantik_notify.trigger (id) on delete set null,
    xact         xid8 not null,
    phone        text not null,
    event_id     bigint not null,
    record_id    bigint not null,
    model        text not null,
    partner_id   bigint,
    partner_name text,
    context      jsonb not null,
    changed_at   timestamptz
) with (vacuum_truncate = off);
create index digest_run_idx on sicantik_notify.digest (xact, rule_id, phone);
comment on table sicantik_notify.digest is
    'Records of a run that wait to become one message a recipient (rule.group_by): emptied when no event of the run is left';
comment on column sicantik_notify.digest.id is 'Key';
comment on column sicantik_notify.digest.created_at is 'When the record was evaluated';
comment on column sicantik_notify.digest.rule_id is 'Rule';
comment on column sicantik_notify.digest.trigger_id is 'Trigger';
comment on column sicantik_notify.digest.xact is 'The run: the transaction that fired its events';
comment on column sicantik_notify.digest.phone is 'Recipient: the normalised number';
comment on column sicantik_notify.digest.event_id is 'Event';
comment on column sicantik_notify.digest.record_id is 'id of the host''s record';
comment on column sicantik_notify.digest.model is 'Odoo model of the record';
comment on column sicantik_notify.digest.partner_id is 'Recipient';
comment on column sicantik_notify.digest.partner_name is 'Name of the recipient';
comment on column sicantik_notify.digest.context is 'Values of the placeholders for this record alone';
comment on column sicantik_notify.digest.changed_at is 'When it was fired';

create table sicantik_notify.event_history (
    id             bigint not null,
    evaluated_at   timestamptz not null default sicantik_notify.clock(),
    record_id      bigint not null,
    xact           xid8 not null,
    occurred_at    timestamptz not null,
    op             "char" not null,
    tries          smallint not null,
    target_trigger bigint,
    target_rule    bigint,
    model          text not null,
    changed        text[],
    old            jsonb,
    new            jsonb
) partition by range (evaluated_at);
create index event_history_record_idx on sicantik_notify.event_history (record_id, id);
create index event_history_id_idx on sicantik_notify.event_history (id);
comment on table sicantik_notify.event_history is
    'Evaluated events, by day, for explain and simulate; kept for setting event_history_days';
comment on column sicantik_notify.event_history.id is 'Id of the event';
comment on column sicantik_notify.event_history.evaluated_at is 'When it was evaluated';
comment on column sicantik_notify.event_history.record_id is 'id of the host''s record';
comment on column sicantik_notify.event_history.xact is 'The host''s transaction';
comment on column sicantik_notify.event_history.occurred_at is 'When the statement ran';
comment on column sicantik_notify.event_history.op is 'I insert, U update, F fired by hand';
comment on column sicantik_notify.event_history.tries is 'How often its evaluation failed before';
comment on column sicantik_notify.event_history.target_trigger is 'Only this trigger was meant';
comment on column sicantik_notify.event_history.target_rule is 'Only this rule was meant';
comment on column sicantik_notify.event_history.model is 'Odoo model';
comment on column sicantik_notify.event_history.changed is 'Columns that changed, of those that are watched or read';
comment on column sicantik_notify.event_history.old is 'Old values of the watched columns';
comment on column sicantik_notify.event_history.new is 'New values of the watched columns and of those that rules read';
create table sicantik_notify.event_history_default partition of sicantik_notify.event_history default;
comment on table sicantik_notify.event_history_default is 'Should be empty: rows for which no day was made';

insert into sicantik_notify.setting (key, value, description) values
    ('event_history_days', '7', 'Days that evaluated events are kept for explain and simulate; 0: not at all'),
    ('recipient_limit', '1000', 'People that a recipient_domain or recipient_field may mean for one record; more is an error, and nobody is told');

comment on column sicantik_notify.rule.condition_python is
    'One Python expression that must be true (SICANTIK guide §4.2): record, records, recipient, env, kwargs, fields, datetime, timedelta';
comment on column sicantik_notify.rule.context_preparation_code is
    'Python statements that set context, which replaces the default values of the placeholders (SICANTIK guide §4.2)';
comment on column sicantik_notify.rule.recipient_type is
    'partner (the applicant), staff or official (users of a group), custom (recipient_domain), field (recipient_field)';
comment on column sicantik_notify.decision.outcome is
    'enqueued, trigger_condition, rule_condition, no_rule, no_recipient, no_phone, duplicate, repeated, name_mismatch, grouped, error';
