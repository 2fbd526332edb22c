-- What was taken over from the module that is replaced, so that a second import changes nothing. Locks: a new table only.

create table sicantik_notify.import_mark (
    source      text not null,
    source_id   bigint not null,
    section     text not null,
    code        text not null,
    source_sum  text not null,
    row_sum     text not null,
    imported_at timestamptz not null default sicantik_notify.clock(),
    primary key (source, source_id)
);
comment on table sicantik_notify.import_mark is
    'What import-odoo took over: what was changed here afterwards is not overwritten, what was removed does not come back';
comment on column sicantik_notify.import_mark.source is 'Table of the host';
comment on column sicantik_notify.import_mark.source_id is 'Its row';
comment on column sicantik_notify.import_mark.section is 'What it became: triggers, rules, templates, …';
comment on column sicantik_notify.import_mark.code is 'Code, key or name of what it became';
comment on column sicantik_notify.import_mark.source_sum is 'Checksum of the host''s row, without counters and times';
comment on column sicantik_notify.import_mark.row_sum is 'Checksum of our row as it was written; another one means that somebody changed it here';
comment on column sicantik_notify.import_mark.imported_at is 'When';

insert into sicantik_notify.setting (key, value, description) values
    ('template_source', 'own', 'own: templates are edited here; host: they follow Odoo''s sicantik_whatsapp_template_master within seconds'),
    ('provider_source', 'own', 'own: providers are edited here; host: they follow Odoo''s sicantik_whatsapp_provider within seconds, tokens included');
