-- What the hooks should be, what they are, and to which database we belong. Locks: new tables only.

create table sicantik_notify.capture_plan (
    model       text primary key check (model ~ '^[a-z0-9_.]+$'),
    table_name  text not null unique check (table_name ~ '^[a-z_][a-z0-9_]*$'),
    triggers    text[] not null default '{}',
    shape       text not null default 'statement' check (shape in ('statement', 'row')),
    active      boolean not null default true,
    on_insert   boolean not null default false,
    any_write   boolean not null default false,
    watched     text[] not null default '{}',
    read        text[] not null default '{}',
    updated_at  timestamptz not null default clock_timestamp(),
    -- The daemon writes plans; which table a model means is not its choice.
    check (table_name = replace(model, '.', '_'))
);
comment on table sicantik_notify.capture_plan is
    'What the hook of each table captures: derived from active triggers and rules. publish_capture() makes functions of it';
comment on column sicantik_notify.capture_plan.model is 'Odoo model';
comment on column sicantik_notify.capture_plan.table_name is 'Its table, in schema public';
comment on column sicantik_notify.capture_plan.triggers is 'Codes of the triggers that it serves';
comment on column sicantik_notify.capture_plan.shape is
    'statement (transition tables), or row for partitioned and inherited tables; change it, then run hooks install';
comment on column sicantik_notify.capture_plan.active is 'False: no active trigger wants this table; its hook does nothing';
comment on column sicantik_notify.capture_plan.on_insert is 'Whether inserts are captured';
comment on column sicantik_notify.capture_plan.any_write is 'Whether any change outside the noise columns is captured';
comment on column sicantik_notify.capture_plan.watched is 'Columns whose change is captured, with their old value';
comment on column sicantik_notify.capture_plan.read is 'Further columns whose new value is carried';
comment on column sicantik_notify.capture_plan.updated_at is 'When the plan last changed';

create table sicantik_notify.capture_publication (
    id           bigint generated always as identity primary key,
    model        text not null,
    checksum     text not null,
    source       text not null,
    published_at timestamptz not null default clock_timestamp()
);
create index capture_publication_model_idx on sicantik_notify.capture_publication (model, id);
comment on table sicantik_notify.capture_publication is
    'Every hook function that was published. A rule holds for writes that begin after its publication commits';
comment on column sicantik_notify.capture_publication.id is 'Key; the newest of a model is the one that stands';
comment on column sicantik_notify.capture_publication.model is 'Odoo model';
comment on column sicantik_notify.capture_publication.checksum is 'md5 of the function''s body';
comment on column sicantik_notify.capture_publication.source is 'The statement that made it';
comment on column sicantik_notify.capture_publication.published_at is 'When';

create table sicantik_notify.capture_state (
    only_row         boolean primary key default true check (only_row),
    misses           bigint not null default 0,
    checked_at       timestamptz,
    unknown_since    timestamptz,
    server_epoch     timestamptz,
    timeline         integer,
    alarm_misses     bigint not null default 0,
    alarm_bound      boolean not null default false
);
comment on table sicantik_notify.capture_state is 'How far the misses of the hooks have been noticed';
comment on column sicantik_notify.capture_state.only_row is 'There is one row';
comment on column sicantik_notify.capture_state.misses is 'Value of the miss counter that has been reported';
comment on column sicantik_notify.capture_state.checked_at is 'When';
comment on column sicantik_notify.capture_state.unknown_since is 'The server crashed or moved, and the counter may have jumped: misses since this time are a bound';
comment on column sicantik_notify.capture_state.server_epoch is 'When the server''s statistics were reset: a crash does that. As of the last look';
comment on column sicantik_notify.capture_state.timeline is 'Timeline under which the counter was read';
comment on column sicantik_notify.capture_state.alarm_misses is 'Misses that the standing alarm is about';
comment on column sicantik_notify.capture_state.alarm_bound is 'Whether that number is an upper bound';
insert into sicantik_notify.capture_state default values;

create table sicantik_notify.hook_check (
    model    text primary key,
    sound_at timestamptz,
    finding  text
);
comment on table sicantik_notify.hook_check is 'Until when each hook was as it should be: changes after that may have been missed';
comment on column sicantik_notify.hook_check.model is 'Odoo model';
comment on column sicantik_notify.hook_check.sound_at is 'When it was last seen as it should be; empty: never';
comment on column sicantik_notify.hook_check.finding is 'What was wrong at the last look; empty: nothing';

create table sicantik_notify.installation (
    only_row          boolean primary key default true check (only_row),
    database_uuid     text,
    system_identifier text not null,
    database_oid      oid not null,
    bound_at          timestamptz not null default clock_timestamp()
);
comment on table sicantik_notify.installation is
    'The database this installation belongs to. A copy carries the queue; it must not send (see the command arm)';
comment on column sicantik_notify.installation.only_row is 'There is one row';
comment on column sicantik_notify.installation.database_uuid is 'Odoo''s database.uuid';
comment on column sicantik_notify.installation.system_identifier is 'Of the cluster';
comment on column sicantik_notify.installation.database_oid is 'Of the database';
comment on column sicantik_notify.installation.bound_at is 'When it was bound';

create table sicantik_notify.arming (
    secret_hash text primary key check (secret_hash ~ '^[0-9a-f]{64}$'),
    label       text not null,
    armed_at    timestamptz not null default clock_timestamp()
);
comment on table sicantik_notify.arming is
    'Hosts that may send: each keeps a secret in its state directory, of which this is the SHA-256';
comment on column sicantik_notify.arming.secret_hash is 'SHA-256 of the secret';
comment on column sicantik_notify.arming.label is 'Host name';
comment on column sicantik_notify.arming.armed_at is 'When';

create table sicantik_notify.repeatable (
    name       text primary key,
    checksum   text not null,
    applied_at timestamptz not null default clock_timestamp()
);
comment on table sicantik_notify.repeatable is 'Functions, views and grants, replaced as a whole when their file changes';
comment on column sicantik_notify.repeatable.name is 'File';
comment on column sicantik_notify.repeatable.checksum is 'SHA-256 of its text';
comment on column sicantik_notify.repeatable.applied_at is 'When it was applied';

-- Made by the migration runner.
comment on table sicantik_notify.schema_history is 'Migrations that were applied';
comment on column sicantik_notify.schema_history.version is 'Number of the migration';
comment on column sicantik_notify.schema_history.name is 'Its name';
comment on column sicantik_notify.schema_history.applied_on is 'When';
comment on column sicantik_notify.schema_history.checksum is 'Of its text: an applied migration must not change';
