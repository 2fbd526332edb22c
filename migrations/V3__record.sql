-- What happened: attempts, log, decisions. Append-only, partitioned by month, dropped by partition. Locks: new tables only.

create sequence sicantik_notify.attempt_id_seq as bigint;
comment on sequence sicantik_notify.attempt_id_seq is 'Ids of attempts';

create table sicantik_notify.attempt (
    id            bigint not null default nextval('sicantik_notify.attempt_id_seq'),
    started_at    timestamptz not null default sicantik_notify.clock(),
    message_id    bigint not null,
    claim_token   bigint not null,
    instance_id   bigint not null,
    provider_id   bigint not null,
    provider_type text not null,
    template_key  text not null,
    finished_at   timestamptz,
    outcome       text check (outcome in ('accepted', 'refused', 'uncertain')),
    class         text,
    http_status   smallint,
    code          text,
    error         text,
    external_id   text,
    duration_ms   integer,
    primary key (id, started_at),
    check ((finished_at is null) = (outcome is null))
) partition by range (started_at);
create index attempt_message_id_idx on sicantik_notify.attempt (message_id);
create index attempt_open_idx on sicantik_notify.attempt (message_id, claim_token) where finished_at is null;
comment on table sicantik_notify.attempt is
    'Each try to hand a message to a provider, committed before the request is written; without an outcome it is open';
comment on column sicantik_notify.attempt.id is 'Key; Meta gets it as callback data';
comment on column sicantik_notify.attempt.started_at is 'When';
comment on column sicantik_notify.attempt.message_id is 'Message';
comment on column sicantik_notify.attempt.claim_token is 'Claim under which it was made';
comment on column sicantik_notify.attempt.instance_id is 'Instance that made it';
comment on column sicantik_notify.attempt.provider_id is 'Provider';
comment on column sicantik_notify.attempt.provider_type is 'meta, fonnte or watzap';
comment on column sicantik_notify.attempt.template_key is 'Template that was used for this provider';
comment on column sicantik_notify.attempt.finished_at is 'When the answer came, or was given up';
comment on column sicantik_notify.attempt.outcome is 'accepted, refused, or uncertain (the answer was lost after the request was written)';
comment on column sicantik_notify.attempt.class is 'Class of the failure';
comment on column sicantik_notify.attempt.http_status is 'HTTP status';
comment on column sicantik_notify.attempt.code is 'The provider''s code';
comment on column sicantik_notify.attempt.error is 'The provider''s words, or ours';
comment on column sicantik_notify.attempt.external_id is 'The provider''s id of the message';
comment on column sicantik_notify.attempt.duration_ms is 'How long the call took, milliseconds';

create table sicantik_notify.log (
    id                 bigint not null,
    finished_at        timestamptz not null default sicantik_notify.clock(),
    state              text not null check (state in ('sent', 'failed', 'cancelled', 'skipped')),
    rule_id            bigint,
    rule_code          text,
    trigger_code       text,
    event_id           bigint,
    model              text,
    record_id          bigint,
    partner_id         bigint,
    partner_name       text,
    phone              text not null,
    template_key       text not null,
    context            jsonb not null,
    provider_id        bigint,
    provider_type      text,
    external_id        text,
    code               text,
    error              text,
    tries              integer not null,
    possible_duplicate boolean not null,
    changed_at         timestamptz,
    created_at         timestamptz not null,
    sent_at            timestamptz,
    processing_time_ms integer,
    retry_of           bigint,
    primary key (id, finished_at)
) partition by range (finished_at);
create index log_record_idx on sicantik_notify.log (model, record_id);
create index log_phone_idx on sicantik_notify.log (phone);
comment on table sicantik_notify.log is 'Log: every message that is finished. Rows are never updated (SICANTIK guide §8.2)';
comment on column sicantik_notify.log.id is 'Id of the message, as it was in queue';
comment on column sicantik_notify.log.finished_at is 'When it was finished';
comment on column sicantik_notify.log.state is 'sent, failed, cancelled, skipped';
comment on column sicantik_notify.log.rule_id is 'Rule';
comment on column sicantik_notify.log.rule_code is 'Code of the rule at that time';
comment on column sicantik_notify.log.trigger_code is 'Code of the trigger at that time';
comment on column sicantik_notify.log.event_id is 'First event of the change';
comment on column sicantik_notify.log.model is 'Odoo model of the record';
comment on column sicantik_notify.log.record_id is 'id of the record';
comment on column sicantik_notify.log.partner_id is 'Recipient';
comment on column sicantik_notify.log.partner_name is 'Name of the recipient';
comment on column sicantik_notify.log.phone is 'Number, normalised';
comment on column sicantik_notify.log.template_key is 'Template that was used';
comment on column sicantik_notify.log.context is 'Values of the placeholders';
comment on column sicantik_notify.log.provider_id is 'Provider of the last attempt';
comment on column sicantik_notify.log.provider_type is 'meta, fonnte or watzap';
comment on column sicantik_notify.log.external_id is 'The provider''s id of the message';
comment on column sicantik_notify.log.code is 'The provider''s code of the last failure';
comment on column sicantik_notify.log.error is 'Why it failed';
comment on column sicantik_notify.log.tries is 'Failed tries before this end';
comment on column sicantik_notify.log.possible_duplicate is 'It may have been sent twice: an answer was lost';
comment on column sicantik_notify.log.changed_at is 'When the host wrote';
comment on column sicantik_notify.log.created_at is 'When it was enqueued';
comment on column sicantik_notify.log.sent_at is 'When the provider accepted it';
comment on column sicantik_notify.log.processing_time_ms is 'From claim to answer, milliseconds';
comment on column sicantik_notify.log.retry_of is 'The message that this one repeats';

create sequence sicantik_notify.decision_id_seq as bigint;
comment on sequence sicantik_notify.decision_id_seq is 'Ids of decisions';
create table sicantik_notify.decision (
    id           bigint not null default nextval('sicantik_notify.decision_id_seq'),
    decided_at   timestamptz not null default sicantik_notify.clock(),
    outcome      text not null,
    event_id     bigint,
    xact         xid8,
    model        text not null,
    record_id    bigint not null,
    trigger_code text,
    rule_code    text,
    partner_id   bigint,
    message_id   bigint,
    reason       text not null,
    primary key (id, decided_at)
) partition by range (decided_at);
create index decision_record_idx on sicantik_notify.decision (model, record_id);
comment on table sicantik_notify.decision is 'What became of each change, for each trigger, rule and recipient, and why';
comment on column sicantik_notify.decision.id is 'Key';
comment on column sicantik_notify.decision.decided_at is 'When';
comment on column sicantik_notify.decision.outcome is
    'enqueued, trigger_condition, rule_condition, no_rule, no_recipient, no_phone, no_template, duplicate, error';
comment on column sicantik_notify.decision.event_id is 'First event of the change';
comment on column sicantik_notify.decision.xact is 'The host''s transaction';
comment on column sicantik_notify.decision.model is 'Odoo model of the record';
comment on column sicantik_notify.decision.record_id is 'id of the record';
comment on column sicantik_notify.decision.trigger_code is 'Trigger that fired';
comment on column sicantik_notify.decision.rule_code is 'Rule';
comment on column sicantik_notify.decision.partner_id is 'Recipient';
comment on column sicantik_notify.decision.message_id is 'Message that was enqueued';
comment on column sicantik_notify.decision.reason is 'Why, for people';

-- A row that finds no partition would fail the settle, and a failed settle means a second message: the net under it.
create table sicantik_notify.attempt_default partition of sicantik_notify.attempt default;
create table sicantik_notify.log_default partition of sicantik_notify.log default;
create table sicantik_notify.decision_default partition of sicantik_notify.decision default;
comment on table sicantik_notify.attempt_default is 'Should be empty: rows for which no month was made';
comment on table sicantik_notify.log_default is 'Should be empty: rows for which no month was made';
comment on table sicantik_notify.decision_default is 'Should be empty: rows for which no month was made';

create table sicantik_notify.problem (
    key       text primary key,
    since     timestamptz not null default sicantik_notify.clock(),
    last_seen timestamptz not null default sicantik_notify.clock(),
    severity  text not null check (severity in ('warning', 'alarm')),
    summary   text not null,
    remedy    text not null
);
comment on table sicantik_notify.problem is 'Problems that the daemon found and that still stand; v_problem shows them with all others';
comment on column sicantik_notify.problem.key is 'What it is about';
comment on column sicantik_notify.problem.since is 'Since when';
comment on column sicantik_notify.problem.last_seen is 'Last time it was seen';
comment on column sicantik_notify.problem.severity is 'warning or alarm';
comment on column sicantik_notify.problem.summary is 'What is wrong';
comment on column sicantik_notify.problem.remedy is 'What to do';
