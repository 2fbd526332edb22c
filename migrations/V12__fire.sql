-- Who fired what, and who may do it over HTTP. Locks: new tables; SHARE ROW EXCLUSIVE on trigger for an
-- instant (foreign key).

create table sicantik_notify.firing (
    xact         xid8 not null default pg_current_xact_id(),
    trigger_id   bigint not null references sicantik_notify.trigger (id) on delete cascade,
    fired_at     timestamptz not null default sicantik_notify.clock(),
    source       text not null check (source in ('manual', 'cli', 'api', 'backfill')),
    fired_by     text not null,
    events       bigint not null,
    kwargs       jsonb,
    primary key (xact, trigger_id)
);
create index firing_fired_at_idx on sicantik_notify.firing (fired_at);
comment on table sicantik_notify.firing is
    'Who asked a trigger to look at records: a person in SQL (manual) or on the command line (cli), a programme (api), or backfill. Kept as long as the log';
comment on column sicantik_notify.firing.xact is 'The run: the transaction of its events';
comment on column sicantik_notify.firing.trigger_id is 'Trigger';
comment on column sicantik_notify.firing.fired_at is 'When';
comment on column sicantik_notify.firing.source is 'manual (fire_trigger), cli, api, backfill';
comment on column sicantik_notify.firing.fired_by is 'Database user, user of the command line, or name of the token';
comment on column sicantik_notify.firing.events is 'How many events: one a record (backfill: one a record and rule)';
comment on column sicantik_notify.firing.kwargs is 'What rules'' code sees as kwargs';

create table sicantik_notify.api_token (
    id             bigint generated always as identity primary key,
    name           text not null unique check (name ~ '^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$'),
    token_hash     text not null unique check (token_hash ~ '^[0-9a-f]{64}$'),
    triggers       text[] check (triggers <> '{}'),
    may_use_domain boolean not null default false,
    expires_at     timestamptz,
    created_at     timestamptz not null default sicantik_notify.clock(),
    created_by     text not null default session_user,
    revoked_at     timestamptz
);
comment on table sicantik_notify.api_token is
    'Who may fire triggers over HTTP. The token itself (256 random bits) is shown once and kept nowhere';
comment on column sicantik_notify.api_token.id is 'Key';
comment on column sicantik_notify.api_token.name is 'Name for people: what explain says of its firings. A revoked name is not used again';
comment on column sicantik_notify.api_token.token_hash is 'SHA-256 of the token';
comment on column sicantik_notify.api_token.triggers is 'Codes of the triggers that it may fire; empty: every trigger of type api';
comment on column sicantik_notify.api_token.may_use_domain is 'Whether it may choose records by a domain, and not only by ids';
comment on column sicantik_notify.api_token.expires_at is 'Until when it is valid; empty: for ever';
comment on column sicantik_notify.api_token.created_at is 'When it was made';
comment on column sicantik_notify.api_token.created_by is 'By which database user';
comment on column sicantik_notify.api_token.revoked_at is 'When it was revoked';

create table sicantik_notify.api_rate (
    token_id   bigint primary key references sicantik_notify.api_token (id) on delete cascade,
    started_at timestamptz not null,
    requests   integer not null
);
comment on table sicantik_notify.api_rate is 'Requests of each token in its present minute, over all instances';
comment on column sicantik_notify.api_rate.token_id is 'Token';
comment on column sicantik_notify.api_rate.started_at is 'When the minute began: with its first request';
comment on column sicantik_notify.api_rate.requests is 'Requests since then';

create table sicantik_notify.api_request (
    token_id     bigint not null references sicantik_notify.api_token (id) on delete cascade,
    key          text not null check (length(key) between 1 and 255),
    requested_at timestamptz not null default sicantik_notify.clock(),
    body_hash    text not null,
    answer       text,
    primary key (token_id, key)
);
create index api_request_requested_at_idx on sicantik_notify.api_request (requested_at);
comment on table sicantik_notify.api_request is
    'Requests with an Idempotency-Key that fired: the same one again within 24 hours gets the same answer and fires nothing';
comment on column sicantik_notify.api_request.token_id is 'Token';
comment on column sicantik_notify.api_request.key is 'The Idempotency-Key';
comment on column sicantik_notify.api_request.requested_at is 'When it came first';
comment on column sicantik_notify.api_request.body_hash is 'SHA-256 of trigger and body: the same key with another body is refused';
comment on column sicantik_notify.api_request.answer is 'What was answered, to the byte';
