-- Failover: which timelines of the server the daemons have reconciled, and sends that the new primary knows nothing of. Fallbacks that
-- have had their place within the rate limit, people who stopped promotional messages, and providers whose check does not get through.
-- Locks: ACCESS EXCLUSIVE on queue, consent and provider_health for an instant (columns with constant defaults, nothing is rewritten).

alter table sicantik_notify.queue add column fallback boolean not null default false;
comment on column sicantik_notify.queue.fallback is
    'A provider refused it, and the next one is still to be asked: the place within its rule''s rate limit that it had for the first one '
    'counts for both';

alter table sicantik_notify.consent
    add column marketing_stopped boolean not null default false,
    add column marketing_at      timestamptz;
comment on column sicantik_notify.consent.marketing_stopped is
    'They stopped promotional messages in WhatsApp (Meta''s user_preferences, or error 131050): no template of category marketing, through no provider';
comment on column sicantik_notify.consent.marketing_at is 'When they last said so or took it back; what is older and comes later changes nothing';

alter table sicantik_notify.provider_health add column checked_in_vain boolean not null default false;
comment on column sicantik_notify.provider_health.checked_in_vain is
    'The last check of the account did not get through: nothing is known, and the next message will tell';

create table sicantik_notify.timeline (
    timeline  bigint primary key,
    seen_at   timestamptz not null default sicantik_notify.clock(),
    awaited   bigint[] not null default '{}',
    reported  bigint[] not null default '{}',
    opened_at timestamptz,
    unheard   bigint[] not null default '{}',
    doubted   integer not null default 0
);
comment on table sicantik_notify.timeline is
    'Timelines of this server. A new one means that a standby took over, which may lack the last seconds: nothing is claimed before the '
    'daemons have compared with it what they sent';
comment on column sicantik_notify.timeline.timeline is 'Number of the timeline';
comment on column sicantik_notify.timeline.seen_at is 'When a daemon first met it';
comment on column sicantik_notify.timeline.awaited is 'Instances that this server knew when it took over: their memory is waited for';
comment on column sicantik_notify.timeline.reported is 'Instances that have reported what they remember';
comment on column sicantik_notify.timeline.opened_at is 'When sending went on; empty: not yet';
comment on column sicantik_notify.timeline.unheard is 'Awaited instances that did not report in time: what they sent last is not known';
comment on column sicantik_notify.timeline.doubted is 'Due messages that became uncertain because of them';

-- What runs already is no failover.
insert into sicantik_notify.timeline (timeline, opened_at)
values (('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::bigint, sicantik_notify.clock());

create table sicantik_notify.lost_send (
    attempt_id         bigint not null,
    started_at         timestamptz not null,
    timeline           bigint not null,
    message_id         bigint not null,
    message_created_at timestamptz not null,
    claim_token        bigint not null,
    instance_id        bigint not null,
    provider_id        bigint not null,
    provider_type      text not null,
    template_key       text not null,
    rule_id            bigint not null,
    phone              text not null,
    xact               xid8,
    model              text,
    record_id          bigint,
    changed_at         timestamptz,
    outcome            text not null check (outcome in ('accepted', 'uncertain')),
    ended_at           timestamptz not null,
    http_status        smallint,
    external_id        text,
    error              text,
    note               text,
    duration_ms        integer,
    reported_at        timestamptz not null default sicantik_notify.clock(),
    settled_at         timestamptz,
    primary key (attempt_id, started_at)
);
create index lost_send_message_id_idx on sicantik_notify.lost_send (message_id) where settled_at is null;
create index lost_send_xact_idx on sicantik_notify.lost_send (xact) where settled_at is null;
comment on table sicantik_notify.lost_send is
    'Sends that a daemon remembered after a failover and that this server did not know: what was committed last on the old primary is not '
    'here. Kept for a week';
comment on column sicantik_notify.lost_send.attempt_id is 'Attempt, as the old primary numbered it';
comment on column sicantik_notify.lost_send.started_at is 'When it was recorded there';
comment on column sicantik_notify.lost_send.timeline is 'The timeline on which it was missing';
comment on column sicantik_notify.lost_send.message_id is 'Message, as the old primary numbered it';
comment on column sicantik_notify.lost_send.message_created_at is
    'When the message was enqueued: ids that were lost are given out again, so both together name a message';
comment on column sicantik_notify.lost_send.claim_token is 'Claim under which it was made';
comment on column sicantik_notify.lost_send.instance_id is 'Instance that made it';
comment on column sicantik_notify.lost_send.provider_id is 'Provider';
comment on column sicantik_notify.lost_send.provider_type is 'meta, fonnte or watzap';
comment on column sicantik_notify.lost_send.template_key is 'Template that was used';
comment on column sicantik_notify.lost_send.rule_id is 'Rule';
comment on column sicantik_notify.lost_send.phone is 'Number, normalised';
comment on column sicantik_notify.lost_send.xact is
    'The host''s transaction: where its change is here and its message is not, the change is evaluated again, to a message of another id';
comment on column sicantik_notify.lost_send.model is 'Odoo model of the record';
comment on column sicantik_notify.lost_send.record_id is 'id of the record';
comment on column sicantik_notify.lost_send.changed_at is 'When the host wrote';
comment on column sicantik_notify.lost_send.outcome is 'accepted, or uncertain: no answer came';
comment on column sicantik_notify.lost_send.ended_at is 'When the answer came, or the call was given up';
comment on column sicantik_notify.lost_send.http_status is 'HTTP status';
comment on column sicantik_notify.lost_send.external_id is 'The provider''s id of the message';
comment on column sicantik_notify.lost_send.error is 'Why it is uncertain';
comment on column sicantik_notify.lost_send.note is 'What else is worth knowing';
comment on column sicantik_notify.lost_send.duration_ms is 'How long the call took, milliseconds';
comment on column sicantik_notify.lost_send.reported_at is 'When its daemon told';
comment on column sicantik_notify.lost_send.settled_at is 'When its message was found here and settled; empty: it is not here (yet)';
