-- Capture by logical replication: how far the slot was read, and from where to where each table belongs to it. Locks: new
-- tables only.

insert into sicantik_notify.setting (key, value, description) values
    ('capture_lag_warn_bytes', '268435456', 'Backend logical: bytes of the server''s log that the daemon may be behind before v_problem warns'),
    ('capture_lag_alarm_bytes', '1073741824', 'Backend logical: bytes of the server''s log that the daemon may be behind before v_problem raises an alarm');

create table sicantik_notify.capture_slot (
    only_row          boolean primary key default true check (only_row),
    slot_name         name not null,
    publication_name  name not null,
    publication_oid   oid not null,
    system_identifier text not null,
    timeline          integer not null,
    begun_at          timestamptz not null default clock_timestamp(),
    begun_lsn         pg_lsn not null,
    position          pg_lsn not null,
    moved_at          timestamptz not null default clock_timestamp(),
    transactions      bigint not null default 0,
    events            bigint not null default 0,
    draining          boolean not null default false
) with (fillfactor = 50, vacuum_truncate = off);
comment on table sicantik_notify.capture_slot is
    'Capture by logical replication; no row: the hooks capture. The daemon locks the row when it stores events, so that two never store the same';
comment on column sicantik_notify.capture_slot.only_row is 'There is one row at most';
comment on column sicantik_notify.capture_slot.slot_name is 'The replication slot';
comment on column sicantik_notify.capture_slot.publication_name is 'The publication';
comment on column sicantik_notify.capture_slot.publication_oid is
    'Its oid: what was written while there was another one, or none, cannot be read from the log by this one';
comment on column sicantik_notify.capture_slot.system_identifier is 'Of the cluster in which the position means something';
comment on column sicantik_notify.capture_slot.timeline is 'Timeline on which the position means something';
comment on column sicantik_notify.capture_slot.begun_at is 'When the slot was made, or made anew';
comment on column sicantik_notify.capture_slot.begun_lsn is 'From where it reads';
comment on column sicantik_notify.capture_slot.position is
    'End of the last transaction whose events are stored: written with them in one transaction, and only then confirmed to the slot';
comment on column sicantik_notify.capture_slot.moved_at is 'When the position last moved';
comment on column sicantik_notify.capture_slot.transactions is 'Host transactions that made events';
comment on column sicantik_notify.capture_slot.events is 'Events stored';
comment on column sicantik_notify.capture_slot.draining is 'Switching back to the hooks: the slot is read up to where they begin';

create table sicantik_notify.capture_slot_table (
    table_name text primary key check (table_name ~ '^[a-z_][a-z0-9_]*$'),
    from_lsn   pg_lsn not null,
    until_lsn  pg_lsn check (until_lsn >= from_lsn),
    identity   text not null default 'default',
    changed_at timestamptz not null default clock_timestamp()
);
comment on table sicantik_notify.capture_slot_table is
    'Tables that the slot captures. The borders were read under a lock that no writer of the table shares: each transaction is on one side';
comment on column sicantik_notify.capture_slot_table.table_name is 'Table of the host, in schema public';
comment on column sicantik_notify.capture_slot_table.from_lsn is 'Transactions that committed from here on are captured from the slot; those before, by the hook';
comment on column sicantik_notify.capture_slot_table.until_lsn is 'Transactions that committed from here on are captured by the hook again';
comment on column sicantik_notify.capture_slot_table.identity is 'The table''s replica identity before, as ALTER TABLE writes it; given back in the end';
comment on column sicantik_notify.capture_slot_table.changed_at is 'When a border was drawn';
