-- Providers: circuits that are probed, pace over all instances, what Meta says of each template.
-- Locks: ACCESS EXCLUSIVE on provider_health, attempt and template for an instant (columns without a rewrite).

alter table sicantik_notify.provider_health
    add column opened_at           timestamptz,
    add column openings            integer not null default 0,
    add column checked_at          timestamptz,
    add column probe_until         timestamptz,
    add column next_send_at        timestamptz,
    add column templates_synced_at timestamptz,
    add column template_sync_error text;
comment on column sicantik_notify.provider_health.open_until is
    'Empty: circuit closed. In the future: open, messages wait. In the past: half-open, one message goes first';
comment on column sicantik_notify.provider_health.last_ok_at is 'Last answer of a provider that works (an acceptance, or a refusal of one message)';
comment on column sicantik_notify.provider_health.opened_at is 'When the circuit opened; empty: closed';
comment on column sicantik_notify.provider_health.openings is 'How often in a row it opened; each time the pause is longer';
comment on column sicantik_notify.provider_health.checked_at is
    'When the provider''s own check of the account, which sends nothing, last found it able to send';
comment on column sicantik_notify.provider_health.probe_until is 'Until when the check or message that probes a half-open circuit may take';
comment on column sicantik_notify.provider_health.next_send_at is 'Pace: the next message not before (all instances reserve here; Retry-After too)';
comment on column sicantik_notify.provider_health.templates_synced_at is 'Meta: when the templates were last read';
comment on column sicantik_notify.provider_health.template_sync_error is 'Meta: why the last reading of the templates failed';
comment on column sicantik_notify.provider.settings is
    'What is not secret: base_url; meta: phone_number_id, waba_id, api_version, messages_per_second (80), pair_interval_seconds (6); '
    'fonnte: delay_seconds (5); watzap: number_key may stand here, wait_until_send, delay_seconds (30)';

-- When a recipient may hear from an account again. Unlogged: what a crash forgets is six seconds old.
create unlogged table sicantik_notify.recipient_pace (
    provider_id  bigint not null references sicantik_notify.provider (id) on delete cascade,
    phone        text not null,
    next_send_at timestamptz not null,
    primary key (provider_id, phone)
) with (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);
comment on table sicantik_notify.recipient_pace is 'Meta''s limit for one recipient: when the next message may go';
comment on column sicantik_notify.recipient_pace.provider_id is 'Account';
comment on column sicantik_notify.recipient_pace.phone is 'Recipient, normalised (E.164)';
comment on column sicantik_notify.recipient_pace.next_send_at is 'Not before';

alter table sicantik_notify.attempt add column note text;
comment on column sicantik_notify.attempt.note is
    'What else is worth knowing: parameters whose text was changed for Meta, the provider''s reference, why it may take longer';

alter table sicantik_notify.template
    add column meta_parameters   text[],
    add column meta_header       jsonb check (jsonb_typeof(meta_header) = 'object'),
    add column meta_buttons      jsonb not null default '[]' check (jsonb_typeof(meta_buttons) = 'array'),
    add column meta_category     text check (meta_category in ('utility', 'marketing', 'authentication')),
    add column meta_quality      text,
    add column meta_placeholders text[],
    add column meta_unfit        text,
    add column meta_synced_at    timestamptz;
comment on column sicantik_notify.template.parameters is
    'Names of the placeholders, in the order that Meta expects (unless meta_parameters says otherwise)';
comment on column sicantik_notify.template.meta_parameters is
    'Names of the values of Meta''s body, in its order, where they differ from parameters';
comment on column sicantik_notify.template.meta_header is
    'Value of Meta''s header: {"text": "name"}, {"image": "link"} or {"document": {"link": "link", "filename": "name"}}, each naming a parameter';
comment on column sicantik_notify.template.meta_buttons is
    'Buttons of Meta''s template that take a value: [{"index": 0, "kind": "url", "parameter": "name"}]; kinds: url, quick_reply, copy_code';
comment on column sicantik_notify.template.meta_category is 'Meta''s category; marketing is never handed to a gateway after a recipient''s no';
comment on column sicantik_notify.template.meta_quality is 'Meta''s rating: GREEN, YELLOW, RED or UNKNOWN; RED means that a pause is near';
comment on column sicantik_notify.template.meta_placeholders is 'What Meta''s approved body wants: names, or 1, 2, … (from the last sync)';
comment on column sicantik_notify.template.meta_unfit is
    'Why Meta cannot be used for this template although its status is good; the next sync that finds it in order empties it';
comment on column sicantik_notify.template.meta_synced_at is 'When Meta was last asked about it';

insert into sicantik_notify.setting (key, value, description) values
    ('meta_template_prefixes', 'izin_',
     'Prefixes under which Meta''s template of a key is looked for after meta_ and template_map, with commas');
