-- What providers tell afterwards: receipts, inbound messages, the state of templates.
-- Locks: ACCESS EXCLUSIVE on queue for an instant (columns with constant defaults, nothing is rewritten); SHARE on queue and on the
-- partitions of attempt while an index is built, a few seconds a million rows: attempts wait, host writes do not.

alter table sicantik_notify.queue
    add column if not exists retry_of bigint,
    add column not_through            bigint[] not null default '{}',
    add column reply_through          bigint;
comment on column sicantik_notify.queue.retry_of is 'The finished message that this one repeats';
comment on column sicantik_notify.queue.not_through is
    'Providers (ids) that took this message and gave it up afterwards: they are not asked again';
comment on column sicantik_notify.queue.reply_through is
    'Answers somebody who wrote to this provider: goes as free text through it and through no other';

create index queue_uncertain_idx on sicantik_notify.queue (id) where uncertain_sends > 0;
create index attempt_external_id_idx on sicantik_notify.attempt (external_id) where external_id is not null;

create table sicantik_notify.receipt_inbox (
    id            bigint generated always as identity primary key,
    received_at   timestamptz not null default sicantik_notify.clock(),
    next_try_at   timestamptz not null default sicantik_notify.clock(),
    tries         integer not null default 0,
    provider_id   bigint not null,
    external_id   text not null,
    state         text not null check (state in ('sent', 'delivered', 'read', 'failed')),
    at            timestamptz not null,
    message_id    bigint,
    attempt_id    bigint,
    class         text,
    code          text,
    error         text,
    consequence   text check (consequence in ('next_provider', 'again', 'none')),
    pause_seconds integer,
    check ((state = 'failed') = (consequence is not null)),
    unique (provider_id, external_id, state)
) with (vacuum_truncate = off, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);
create index receipt_inbox_next_try_at_idx on sicantik_notify.receipt_inbox (next_try_at);
comment on table sicantik_notify.receipt_inbox is
    'Receipts as they came, until their message is found: a receipt may be quicker than the answer it belongs to. What belongs to '
    'nothing of ours is dropped after setting receipt_unmatched_hours';
comment on column sicantik_notify.receipt_inbox.id is 'Key';
comment on column sicantik_notify.receipt_inbox.received_at is 'When it came';
comment on column sicantik_notify.receipt_inbox.next_try_at is 'When its message is looked for again';
comment on column sicantik_notify.receipt_inbox.tries is 'How often its message was looked for in vain';
comment on column sicantik_notify.receipt_inbox.provider_id is 'Who told';
comment on column sicantik_notify.receipt_inbox.external_id is 'The provider''s id of the message; state:… is Fonnte''s second id';
comment on column sicantik_notify.receipt_inbox.state is 'sent, delivered, read or failed';
comment on column sicantik_notify.receipt_inbox.at is 'When it happened, as the provider says, never in the future';
comment on column sicantik_notify.receipt_inbox.message_id is 'Our message, where the provider echoes our words';
comment on column sicantik_notify.receipt_inbox.attempt_id is 'Our attempt, where the provider echoes our words';
comment on column sicantik_notify.receipt_inbox.class is 'failed: class of the failure';
comment on column sicantik_notify.receipt_inbox.code is 'failed: the provider''s code';
comment on column sicantik_notify.receipt_inbox.error is 'failed: the provider''s words';
comment on column sicantik_notify.receipt_inbox.consequence is
    'failed: what the failure table says: next_provider, again (the same provider later), none (it stays failed)';
comment on column sicantik_notify.receipt_inbox.pause_seconds is 'again: after so long; empty: the rule''s retry delay';

create table sicantik_notify.receipt (
    attempt_id    bigint not null,
    state         text not null check (state in ('sent', 'delivered', 'read', 'failed')),
    message_id    bigint not null,
    provider_id   bigint not null,
    provider_type text not null,
    external_id   text not null,
    at            timestamptz not null,
    received_at   timestamptz not null,
    class         text,
    code          text,
    error         text,
    consequence   text,
    pause_seconds integer,
    rank          smallint not null generated always as
                  (case state when 'sent' then 1 when 'failed' then 2 when 'delivered' then 3 else 4 end) stored,
    primary key (attempt_id, state)
);
create index receipt_message_id_idx on sicantik_notify.receipt (message_id);
create index receipt_received_at_idx on sicantik_notify.receipt (received_at);
comment on table sicantik_notify.receipt is
    'What became of each attempt after the provider had accepted it. Append-only; a receipt that comes twice is one row. Kept for '
    'setting receipt_days';
comment on column sicantik_notify.receipt.attempt_id is 'Attempt';
comment on column sicantik_notify.receipt.state is 'sent, delivered, read or failed';
comment on column sicantik_notify.receipt.message_id is 'Message';
comment on column sicantik_notify.receipt.provider_id is 'Who told';
comment on column sicantik_notify.receipt.provider_type is 'meta or fonnte';
comment on column sicantik_notify.receipt.external_id is 'The provider''s id of the message';
comment on column sicantik_notify.receipt.at is 'When it happened, as the provider says';
comment on column sicantik_notify.receipt.received_at is 'When we were told';
comment on column sicantik_notify.receipt.class is 'failed: class of the failure';
comment on column sicantik_notify.receipt.code is 'failed: the provider''s code';
comment on column sicantik_notify.receipt.error is 'failed: the provider''s words';
comment on column sicantik_notify.receipt.consequence is 'failed: what the failure table says: next_provider, again, none';
comment on column sicantik_notify.receipt.pause_seconds is 'again: after so long; empty: the rule''s retry delay';
comment on column sicantik_notify.receipt.rank is
    'How far it got: sent, failed, delivered, read. A failure is final unless the message is known to have arrived';

create table sicantik_notify.receipt_alias (
    provider_id bigint not null,
    alias       text not null,
    external_id text not null,
    received_at timestamptz not null default sicantik_notify.clock(),
    primary key (provider_id, alias)
);
create index receipt_alias_received_at_idx on sicantik_notify.receipt_alias (received_at);
comment on table sicantik_notify.receipt_alias is
    'Fonnte tells first an id with a stateid, later only the stateid: which message is meant then';
comment on column sicantik_notify.receipt_alias.provider_id is 'Who told';
comment on column sicantik_notify.receipt_alias.alias is 'state: and the stateid';
comment on column sicantik_notify.receipt_alias.external_id is 'The id that the provider gave when it accepted the message';
comment on column sicantik_notify.receipt_alias.received_at is 'When it came';

create table sicantik_notify.inbound_message (
    provider_id bigint not null,
    external_id text not null,
    phone       text not null check (phone ~ '^\+[0-9]{6,15}$'),
    at          timestamptz not null,
    received_at timestamptz not null default sicantik_notify.clock(),
    meaning     text check (meaning in ('stop', 'start', 'opt_in')),
    primary key (provider_id, external_id)
);
create index inbound_message_received_at_idx on sicantik_notify.inbound_message (received_at);
comment on table sicantik_notify.inbound_message is
    'Which messages from people were taken, so that one that comes twice acts once. What they wrote is not kept';
comment on column sicantik_notify.inbound_message.provider_id is 'To which account they wrote';
comment on column sicantik_notify.inbound_message.external_id is 'The provider''s id of the message';
comment on column sicantik_notify.inbound_message.phone is 'Number, normalised (E.164)';
comment on column sicantik_notify.inbound_message.at is 'When it was written, as the provider says, never in the future';
comment on column sicantik_notify.inbound_message.received_at is 'When we were told';
comment on column sicantik_notify.inbound_message.meaning is
    'stop, start or opt_in (settings stop_words, start_words, opt_in_words); empty: anything else';

create table sicantik_notify.consent (
    phone       text primary key check (phone ~ '^\+[0-9]{6,15}$'),
    opted_in_at timestamptz,
    stopped_at  timestamptz,
    check (opted_in_at is null or stopped_at is null)
);
comment on table sicantik_notify.consent is
    'What people told us by WhatsApp about messages to them. Consent also counts where the host has none; a stop is in blacklist too';
comment on column sicantik_notify.consent.phone is 'Number, normalised (E.164)';
comment on column sicantik_notify.consent.opted_in_at is 'When they wrote a word of setting opt_in_words';
comment on column sicantik_notify.consent.stopped_at is 'When they wrote a word of setting stop_words; a word of start_words ends it';

create table sicantik_notify.meta_template_event (
    provider_id   bigint not null,
    template_name text not null,
    language      text not null,
    at            timestamptz not null,
    event         text not null,
    reason        text,
    received_at   timestamptz not null default sicantik_notify.clock(),
    primary key (template_name, language, at, event, provider_id)
);
create index meta_template_event_received_at_idx on sicantik_notify.meta_template_event (received_at);
comment on table sicantik_notify.meta_template_event is
    'What Meta told about templates. The newest decides template.meta_status; an older one that comes late changes nothing';
comment on column sicantik_notify.meta_template_event.provider_id is 'Account';
comment on column sicantik_notify.meta_template_event.template_name is 'Name at Meta';
comment on column sicantik_notify.meta_template_event.language is 'Language code at Meta';
comment on column sicantik_notify.meta_template_event.at is 'When it happened, as Meta says';
comment on column sicantik_notify.meta_template_event.event is 'APPROVED, REJECTED, PAUSED, DISABLED and so on';
comment on column sicantik_notify.meta_template_event.reason is 'Why, in Meta''s words';
comment on column sicantik_notify.meta_template_event.received_at is 'When we were told';

insert into sicantik_notify.setting (key, value, description) values
    ('stop_words', 'STOP, BERHENTI, UNSUBSCRIBE',
     'Whoever writes one of these words, and nothing else, gets no more messages; case, blanks and punctuation do not matter. Empty: none'),
    ('start_words', 'START, MULAI', 'Whoever stopped with a word of stop_words and writes one of these gets messages again. Empty: none'),
    ('opt_in_words', 'SETUJU, YA SETUJU', 'Whoever writes one of these consents to messages through Meta. Empty: none'),
    ('receipt_days', '90', 'Days that receipts, and what is known of inbound messages, are kept'),
    ('receipt_unmatched_hours', '24', 'Hours that a receipt waits for a message it belongs to'),
    ('failed_receipt_retry_hours', '24',
     'A message that a provider took and gave up afterwards is sent once more, through another one where the failure says so, if it was '
     'enqueued at most so many hours ago; 0: never');

comment on column sicantik_notify.provider_secret.name is
    'meta: token, and for the webhook app_secret, verify_token; fonnte: token, webhook_secret; watzap: api_key, number_key, webhook_secret';
comment on column sicantik_notify.inbound.phone is 'Number, normalised (E.164)';
