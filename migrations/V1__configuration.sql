-- What administrators write. Locks: new tables only.

-- The clock of everything that decides: leases, due times, retries, windows. Tests move it with
-- `alter database … set sicantik_notify.clock_offset = '1 day'`; hooks use the server's own time and are not concerned.
create function sicantik_notify.clock()
returns timestamptz
language sql
volatile
as $clock$
    select clock_timestamp()
           + coalesce(nullif(current_setting('sicantik_notify.clock_offset', true), '')::interval, interval '0')
$clock$;
comment on function sicantik_notify.clock() is 'Now: the server''s time, plus sicantik_notify.clock_offset in tests';

create table sicantik_notify.setting (
    key         text primary key,
    value       text not null,
    description text not null
);
comment on table sicantik_notify.setting is 'Settings that SQL objects need too; everything else is in the daemon file';
comment on column sicantik_notify.setting.key is 'Name of the setting';
comment on column sicantik_notify.setting.value is 'Value, as text';
comment on column sicantik_notify.setting.description is 'What it does, its unit and range';

insert into sicantik_notify.setting (key, value, description) values
    ('capture_wake', 'notify', 'notify: a hook wakes the daemon unless it is known to be awake; poll: hooks never NOTIFY'),
    ('capture_max_backlog_age', '604800', 'Seconds without a daemon after which hooks count misses instead of storing events'),
    ('capture_max_backlog_bytes', '1073741824', 'Size of the event table after which hooks count misses instead of storing events'),
    ('timezone', 'Asia/Jakarta', 'Time zone of the office: dates in messages, quiet hours, schedules'),
    ('link_base', 'https://sicantik.example.go.id', 'Base of the links in messages (renewal, dashboard, approval)'),
    ('contact_info', 'DPMPTSP', 'Contact that reminders name'),
    ('meta_opt_in_link', 'https://sicantik.example.go.id/opt-in', 'Link of the template meta_opt_in_request');

create table sicantik_notify.field_alias (
    model  text not null,
    field  text not null,
    target text not null,
    primary key (model, field)
);
comment on table sicantik_notify.field_alias is
    'A field name that administrators use for another one; applies only where the host has no field of that name';
comment on column sicantik_notify.field_alias.model is 'Odoo model, such as sicantik.permit';
comment on column sicantik_notify.field_alias.field is 'Name as written in triggers, rules and templates';
comment on column sicantik_notify.field_alias.target is 'Field of the host that is meant';

create table sicantik_notify.value_alias (
    model  text not null,
    field  text not null,
    value  text not null,
    target text not null,
    primary key (model, field, value)
);
comment on table sicantik_notify.value_alias is
    'A value that administrators use for another one; applies only where the host''s selection lacks it';
comment on column sicantik_notify.value_alias.model is 'Odoo model';
comment on column sicantik_notify.value_alias.field is 'Field of the host (after field aliases)';
comment on column sicantik_notify.value_alias.value is 'Value as written';
comment on column sicantik_notify.value_alias.target is 'Value of the host that is meant';

-- SICANTIK guide §3.3 says state and approved; the permit's column is status, and its value active.
insert into sicantik_notify.field_alias (model, field, target) values ('sicantik.permit', 'state', 'status');
insert into sicantik_notify.value_alias (model, field, value, target)
values ('sicantik.permit', 'status', 'approved', 'active'), ('sicantik.permit', 'status', 'done', 'active');

create table sicantik_notify.noise_column (
    model       text not null,
    column_name text not null,
    primary key (model, column_name)
);
comment on table sicantik_notify.noise_column is
    'Columns whose change alone is no change for on_write triggers (bookkeeping, counters, copies)';
comment on column sicantik_notify.noise_column.model is 'Odoo model, or * for every model';
comment on column sicantik_notify.noise_column.column_name is 'Column';

insert into sicantik_notify.noise_column (model, column_name) values
    ('*', 'create_uid'), ('*', 'create_date'), ('*', 'write_uid'), ('*', 'write_date'),
    ('sicantik.permit', 'last_sync_date'), ('sicantik.permit', 'days_until_expiry'), ('sicantik.permit', 'expiry_status'),
    ('sicantik.permit', 'expiry_notified_90'), ('sicantik.permit', 'expiry_notified_60'),
    ('sicantik.permit', 'expiry_notified_30'), ('sicantik.permit', 'expiry_notified_7'),
    ('sicantik.permit.type', 'last_sync_date'),
    ('sicantik.document', 'verification_count'), ('sicantik.document', 'last_verified_date'),
    ('sicantik.document', 'permit_number'), ('sicantik.document', 'permit_type_id'), ('sicantik.document', 'minio_url'),
    ('sicantik.document', 'verification_url'), ('sicantik.document', 'download_url'),
    ('signature.workflow', 'document_number'), ('signature.workflow', 'permit_number'), ('signature.workflow', 'progress'),
    ('res.partner', 'sicantik_permit_count'), ('res.partner', 'message_bounce');

create table sicantik_notify.trigger (
    id               bigint generated always as identity primary key,
    code             text not null unique check (code ~ '^[A-Za-z0-9_]+$'),
    name             text not null check (name <> ''),
    active           boolean not null default true,
    sequence         integer not null default 10,
    model            text not null check (model ~ '^[a-z0-9_.]+$'),
    trigger_type     text not null check (trigger_type in ('on_create', 'on_write', 'on_state_change',
                                                           'on_field_change', 'cron', 'manual', 'api')),
    state_field      text not null default 'state' check (state_field <> ''),
    state_from       text,
    state_to         text,
    field_to_watch   text,
    field_change     text not null default 'any' check (field_change in ('any', 'set', 'cleared')),
    condition_domain text,
    cron_expression  text,
    interval_number  integer check (interval_number > 0),
    interval_type    text check (interval_type in ('minutes', 'hours', 'days', 'weeks', 'months')),
    timezone         text not null default 'Asia/Jakarta',
    description      text,
    created_at       timestamptz not null default now(),
    updated_at       timestamptz not null default now(),
    check (trigger_type <> 'on_field_change' or coalesce(field_to_watch, '') <> '')
);
comment on table sicantik_notify.trigger is 'Pemicu: which change of which model is looked at (SICANTIK guide §3)';
comment on column sicantik_notify.trigger.id is 'Key';
comment on column sicantik_notify.trigger.code is 'Unique code: letters, digits, underscore';
comment on column sicantik_notify.trigger.name is 'Name for people';
comment on column sicantik_notify.trigger.active is 'An inactive trigger captures and fires nothing';
comment on column sicantik_notify.trigger.sequence is 'Order among triggers, lowest first';
comment on column sicantik_notify.trigger.model is 'Odoo model, such as sicantik.permit';
comment on column sicantik_notify.trigger.trigger_type is
    'on_create, on_write (any change outside the noise columns), on_state_change, on_field_change, cron, manual, api';
comment on column sicantik_notify.trigger.state_field is 'on_state_change: the status field (aliases apply)';
comment on column sicantik_notify.trigger.state_from is
    'on_state_change: old value; empty = any, and then a record created with state_to fires too';
comment on column sicantik_notify.trigger.state_to is 'on_state_change: new value; empty = any';
comment on column sicantik_notify.trigger.field_to_watch is 'on_field_change: the field';
comment on column sicantik_notify.trigger.field_change is
    'on_field_change: any change, set (from empty to a value, creation included) or cleared';
comment on column sicantik_notify.trigger.condition_domain is 'Odoo domain that the changed record must satisfy; empty = all';
comment on column sicantik_notify.trigger.cron_expression is 'cron: five fields, or empty to use the interval';
comment on column sicantik_notify.trigger.interval_number is 'cron: every so many interval_type';
comment on column sicantik_notify.trigger.interval_type is 'cron: minutes, hours, days, weeks, months';
comment on column sicantik_notify.trigger.timezone is 'Time zone of its schedule and dates';
comment on column sicantik_notify.trigger.description is 'For people';
comment on column sicantik_notify.trigger.created_at is 'When the row was made';
comment on column sicantik_notify.trigger.updated_at is 'When the row was last changed';

create table sicantik_notify.template (
    id              bigint generated always as identity primary key,
    template_key    text not null unique check (template_key ~ '^[A-Za-z0-9_]+$'),
    name            text not null,
    language        text not null default 'id',
    body            text not null check (body <> ''),
    parameters      text[] not null default '{}',
    active          boolean not null default true,
    for_gateways    boolean not null default true,
    meta_name       text,
    meta_language   text not null default 'id',
    meta_status     text not null default 'not_configured'
                    check (meta_status in ('not_configured', 'configured', 'pending', 'approved', 'paused', 'disabled', 'rejected')),
    meta_named      boolean not null default false,
    description     text,
    created_at      timestamptz not null default now(),
    updated_at      timestamptz not null default now()
);
comment on table sicantik_notify.template is 'Message texts by key (SICANTIK guide §4.3)';
comment on column sicantik_notify.template.id is 'Key';
comment on column sicantik_notify.template.template_key is 'The key that rules name';
comment on column sicantik_notify.template.name is 'Name for people';
comment on column sicantik_notify.template.language is 'Language of the body';
comment on column sicantik_notify.template.body is 'Text with placeholders {{name}}; what Fonnte and Watzap send';
comment on column sicantik_notify.template.parameters is 'Names of the placeholders, in the order that Meta expects';
comment on column sicantik_notify.template.active is 'An inactive template is not used';
comment on column sicantik_notify.template.for_gateways is 'Whether Fonnte and Watzap may send this text';
comment on column sicantik_notify.template.meta_name is 'Name of the approved template at Meta; empty = the key';
comment on column sicantik_notify.template.meta_language is 'Language code of the approved template at Meta';
comment on column sicantik_notify.template.meta_status is 'Meta can be used only with configured or approved';
comment on column sicantik_notify.template.meta_named is 'Meta parameter format: true NAMED, false POSITIONAL';
comment on column sicantik_notify.template.description is 'For people';
comment on column sicantik_notify.template.created_at is 'When the row was made';
comment on column sicantik_notify.template.updated_at is 'When the row was last changed';

create table sicantik_notify.template_map (
    template_key text primary key,
    meta_key     text not null
);
comment on table sicantik_notify.template_map is 'Which template Meta sends for a key, after meta_<key> and before izin_<key>';
comment on column sicantik_notify.template_map.template_key is 'The key that rules name';
comment on column sicantik_notify.template_map.meta_key is 'The key of the template that Meta sends';

create table sicantik_notify.rule (
    id                       bigint generated always as identity primary key,
    code                     text not null unique check (code ~ '^[A-Za-z0-9_]+$'),
    name                     text not null check (name <> ''),
    active                   boolean not null default true,
    sequence                 integer not null default 10,
    trigger                  text not null references sicantik_notify.trigger (code) on update cascade,
    condition_domain         text,
    condition_python         text,
    template_key             text not null check (template_key ~ '^[A-Za-z0-9_]+$'),
    recipient_type           text not null default 'partner'
                             check (recipient_type in ('partner', 'staff', 'official', 'custom', 'field')),
    recipient_domain         text,
    recipient_field          text,
    staff_group              text,
    official_group           text,
    schedule_type            text not null default 'immediate' check (schedule_type in ('immediate', 'scheduled', 'batch')),
    scheduled_delay          integer not null default 0 check (scheduled_delay >= 0),
    batch_size               integer not null default 100 check (batch_size > 0),
    batch_interval           integer not null default 5 check (batch_interval >= 0),
    rate_limit_enabled       boolean not null default true,
    rate_limit_count         integer not null default 100 check (rate_limit_count > 0),
    rate_limit_period        text not null default 'hour' check (rate_limit_period in ('minute', 'hour', 'day')),
    max_retries              integer not null default 3 check (max_retries >= 0),
    retry_delay              integer not null default 5 check (retry_delay >= 0),
    retry_backoff            text not null default 'fixed' check (retry_backoff in ('fixed', 'exponential')),
    respect_blacklist        boolean not null default true,
    context_preparation_code text,
    priority                 integer not null default 5,
    description              text,
    created_at               timestamptz not null default now(),
    updated_at               timestamptz not null default now(),
    check (recipient_type <> 'staff' or coalesce(staff_group, '') <> ''),
    check (recipient_type <> 'official' or coalesce(official_group, '') <> '')
);
comment on table sicantik_notify.rule is 'Aturan: who gets which message when a trigger fires (SICANTIK guide §4)';
comment on column sicantik_notify.rule.id is 'Key';
comment on column sicantik_notify.rule.code is 'Unique code: letters, digits, underscore';
comment on column sicantik_notify.rule.name is 'Name for people';
comment on column sicantik_notify.rule.active is 'An inactive rule enqueues nothing, and its waiting messages wait';
comment on column sicantik_notify.rule.sequence is 'Order among the rules of a trigger, then by code';
comment on column sicantik_notify.rule.trigger is 'Code of its trigger';
comment on column sicantik_notify.rule.condition_domain is 'Odoo domain that the changed record must satisfy; empty = all';
comment on column sicantik_notify.rule.condition_python is 'Python expression; not supported yet, such a rule is refused';
comment on column sicantik_notify.rule.template_key is 'Which text';
comment on column sicantik_notify.rule.recipient_type is
    'partner (the applicant), staff or official (users of a group); custom and field are not supported yet';
comment on column sicantik_notify.rule.recipient_domain is 'custom: domain on res.partner';
comment on column sicantik_notify.rule.recipient_field is 'field: path on the record';
comment on column sicantik_notify.rule.staff_group is 'staff: external id, database id or name of the group';
comment on column sicantik_notify.rule.official_group is 'official: external id, database id or name of the group';
comment on column sicantik_notify.rule.schedule_type is 'immediate, scheduled (after scheduled_delay), batch';
comment on column sicantik_notify.rule.scheduled_delay is 'Minutes';
comment on column sicantik_notify.rule.batch_size is 'Messages a batch';
comment on column sicantik_notify.rule.batch_interval is 'Minutes between batches';
comment on column sicantik_notify.rule.rate_limit_enabled is 'Whether the rate limit holds';
comment on column sicantik_notify.rule.rate_limit_count is 'Most messages in any window of the period';
comment on column sicantik_notify.rule.rate_limit_period is 'minute, hour or day';
comment on column sicantik_notify.rule.max_retries is 'Tries after the first';
comment on column sicantik_notify.rule.retry_delay is 'Minutes before a retry';
comment on column sicantik_notify.rule.retry_backoff is 'fixed, or exponential (doubled each time)';
comment on column sicantik_notify.rule.respect_blacklist is 'False only where a blacklisted number must be reached';
comment on column sicantik_notify.rule.context_preparation_code is 'Python statements; not supported yet, such a rule is refused';
comment on column sicantik_notify.rule.priority is 'Higher is sent first';
comment on column sicantik_notify.rule.description is 'For people';
comment on column sicantik_notify.rule.created_at is 'When the row was made';
comment on column sicantik_notify.rule.updated_at is 'When the row was last changed';

create table sicantik_notify.provider (
    id             bigint generated always as identity primary key,
    name           text not null unique,
    provider_type  text not null check (provider_type in ('meta', 'fonnte', 'watzap')),
    sequence       integer not null default 10,
    active         boolean not null default true,
    is_default     boolean not null default false,
    settings       jsonb not null default '{}' check (jsonb_typeof(settings) = 'object'),
    on_uncertain   text not null default 'resend' check (on_uncertain in ('resend', 'hold')),
    uncertain_wait interval not null default interval '5 minutes' check (uncertain_wait >= interval '0'),
    created_at     timestamptz not null default now(),
    updated_at     timestamptz not null default now()
);
comment on table sicantik_notify.provider is 'WhatsApp accounts: Meta Cloud API, Fonnte, Watzap (SICANTIK guide §6.4)';
comment on column sicantik_notify.provider.id is 'Key';
comment on column sicantik_notify.provider.name is 'Name for people';
comment on column sicantik_notify.provider.provider_type is 'meta, fonnte or watzap';
comment on column sicantik_notify.provider.sequence is 'Order of the fallback, lowest first; Fonnte before Watzap on a tie';
comment on column sicantik_notify.provider.active is 'An inactive provider is not used';
comment on column sicantik_notify.provider.is_default is 'A default provider that is not Meta is tried before Meta';
comment on column sicantik_notify.provider.settings is
    'What is not secret: base_url; meta: phone_number_id, waba_id, api_version; watzap: number_key may stand here';
comment on column sicantik_notify.provider.on_uncertain is
    'What happens when an answer was lost after the request was written: resend once, or hold for a person';
comment on column sicantik_notify.provider.uncertain_wait is 'How long an uncertain message waits before it is sent again';
comment on column sicantik_notify.provider.created_at is 'When the row was made';
comment on column sicantik_notify.provider.updated_at is 'When the row was last changed';

create table sicantik_notify.provider_secret (
    provider_id bigint not null references sicantik_notify.provider (id) on delete cascade,
    name        text not null,
    value       text,
    credential  text,
    primary key (provider_id, name),
    check ((value is null) <> (credential is null))
);
comment on table sicantik_notify.provider_secret is
    'Tokens and keys; only the daemon''s role can read this table. Prefer credential (a systemd credential) to value';
comment on column sicantik_notify.provider_secret.provider_id is 'Whose';
comment on column sicantik_notify.provider_secret.name is 'meta: token; fonnte: token; watzap: api_key, number_key';
comment on column sicantik_notify.provider_secret.value is 'The secret itself';
comment on column sicantik_notify.provider_secret.credential is
    'Name of a systemd credential, or of an environment variable, that holds the secret';

-- One row that moves whenever configuration changes, in the changing transaction: whoever reads it in the same
-- snapshot as the configuration knows whether what is cached is still true. A sequence would move before the commit.
create table sicantik_notify.config_version (
    only_row   boolean primary key default true check (only_row),
    version    bigint not null default 1,
    changed_at timestamptz not null default now()
);
comment on table sicantik_notify.config_version is 'Moves with every change of configuration';
comment on column sicantik_notify.config_version.only_row is 'There is one row';
comment on column sicantik_notify.config_version.version is 'Grows by one with every change';
comment on column sicantik_notify.config_version.changed_at is 'When it last moved';
insert into sicantik_notify.config_version default values;
