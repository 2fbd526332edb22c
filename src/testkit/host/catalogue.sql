-- The ORM's catalogue (ir_model, ir_model_fields, selections, delegation, external ids) of the tables that are there.
-- Stored fields are read from the columns themselves, so that both agree on every profile; what columns cannot tell (kind of text,
-- labels, fields without a column) is listed.
create temporary table fixture_model (model text primary key, label text, label_id text, module text, thread bool);
insert into fixture_model values
    ('ir.model', 'Models', 'Model', 'base', false),
    ('ir.model.fields', 'Fields', 'Bidang', 'base', false),
    ('ir.model.fields.selection', 'Fields Selection', 'Pilihan Bidang', 'base', false),
    ('ir.model.inherit', 'Model Inheritance Tree', 'Pewarisan Model', 'base', false),
    ('ir.model.data', 'Model Data', 'Data Model', 'base', false),
    ('ir.config_parameter', 'System Parameter', 'Parameter Sistem', 'base', false),
    ('ir.cron', 'Scheduled Actions', 'Tindakan Terjadwal', 'base', false),
    ('ir.cron.trigger', 'Triggered actions', 'Tindakan Terpicu', 'base', false),
    ('ir.cron.progress', 'Progress of Scheduled Actions', 'Kemajuan Tindakan', 'base', false),
    ('ir.actions.server', 'Server Actions', 'Tindakan Server', 'base', false),
    ('ir.module.category', 'Application', 'Aplikasi', 'base', false),
    ('ir.module.module', 'Module', 'Modul', 'base', false),
    ('mail.followers', 'Document Followers', 'Pengikut Dokumen', 'mail', false),
    ('mail.message', 'Message', 'Pesan', 'mail', false),
    ('mail.tracking.value', 'Mail Tracking Value', 'Nilai Pelacakan', 'mail', false),
    ('phone.blacklist', 'Phone Blacklist', 'Daftar Hitam Telepon', 'phone_validation', true),
    ('res.company', 'Companies', 'Perusahaan', 'base', true),
    ('res.country', 'Country', 'Negara', 'base', false),
    ('res.currency', 'Currency', 'Mata Uang', 'base', false),
    ('res.groups', 'Access Groups', 'Grup Akses', 'base', false),
    ('res.lang', 'Languages', 'Bahasa', 'base', false),
    ('res.partner', 'Contact', 'Kontak', 'base', true),
    ('res.partner.category', 'Partner Tags', 'Label Kontak', 'base', false),
    ('res.users', 'User', 'Pengguna', 'base', false),
    ('sicantik.permit', 'SICANTIK Permit', 'Izin SICANTIK', 'sicantik_connector', true),
    ('sicantik.permit.type', 'SICANTIK Permit Type', 'Jenis Izin SICANTIK', 'sicantik_connector', false),
    ('sicantik.document', 'SICANTIK Document', 'Dokumen SICANTIK', 'sicantik_tte', true),
    ('signature.workflow', 'Signature Workflow', 'Alur Tanda Tangan', 'sicantik_tte', true),
    ('sicantik.whatsapp.provider', 'WhatsApp Provider', 'Provider WhatsApp', 'sicantik_whatsapp', false),
    ('sicantik.whatsapp.template.master', 'Master Template WhatsApp', 'Master Template WhatsApp', 'sicantik_whatsapp', false),
    ('sicantik.whatsapp.message.log', 'WhatsApp Message Log', 'Log Pesan WhatsApp', 'sicantik_whatsapp', false),
    ('whatsapp.opt.in.manager', 'WhatsApp Opt-In Manager', 'Pengelola Opt-In WhatsApp', 'sicantik_whatsapp', false),
    ('whatsapp.account', 'WhatsApp Business Account', 'Akun Bisnis WhatsApp', 'whatsapp', true),
    ('whatsapp.message', 'WhatsApp Messages', 'Pesan WhatsApp', 'whatsapp', false),
    ('whatsapp.template', 'WhatsApp Template', 'Template WhatsApp', 'whatsapp', true),
    ('whatsapp.template.variable', 'WhatsApp Template Variable', 'Variabel Template WhatsApp', 'whatsapp', false),
    ('sicantik.notification.trigger', 'Notification Trigger', 'Pemicu Notifikasi', 'sicantik_notification_automation', false),
    ('sicantik.notification.rule', 'Notification Rule', 'Aturan Notifikasi', 'sicantik_notification_automation', false),
    ('sicantik.notification.campaign', 'Notification Campaign', 'Kampanye Notifikasi', 'sicantik_notification_automation', false),
    ('sicantik.notification.queue', 'Notification Queue', 'Antrian Notifikasi', 'sicantik_notification_automation', false),
    ('sicantik.notification.log', 'Notification Log', 'Log Notifikasi', 'sicantik_notification_automation', false),
    ('sicantik.notification.blacklist', 'Notification Blacklist', 'Daftar Hitam Notifikasi', 'sicantik_notification_automation', false);
alter table fixture_model add column relname text;
update fixture_model set relname = case model when 'ir.actions.server' then 'ir_act_server' else replace(model, '.', '_') end;
delete from fixture_model where to_regclass('public.' || relname) is null;

insert into ir_model (model, "order", state, name, transient, is_mail_thread, is_mail_activity, is_mail_blacklist, create_date, write_date)
select
    model,
    case model when 'sicantik.permit' then 'create_date desc, id desc' when 'res.partner' then 'complete_name ASC, id DESC' else 'id' end,
    'base', jsonb_build_object('en_US', label, 'id_ID', label_id), false, thread, thread, false,
    now() at time zone 'UTC', now() at time zone 'UTC'
from fixture_model
order by model;

-- Stored fields, from the columns.
insert into ir_model_fields
    (model_id, model, name, complete_name, ttype, relation, field_description, state, store, required, readonly, copied, index,
     translate, company_dependent, selectable, on_delete, create_date, write_date)
select
    m.id, m.model, a.attname, null,
    case
        when fk.relation is not null then 'many2one'
        when a.atttypid = 'int4'::regtype then 'integer'
        when a.atttypid in ('float8'::regtype, 'numeric'::regtype) then 'float'
        when a.atttypid = 'bool'::regtype then 'boolean'
        when a.atttypid = 'date'::regtype then 'date'
        when a.atttypid = 'timestamp'::regtype then 'datetime'
        when a.atttypid = 'text'::regtype then 'text'
        when a.atttypid = 'bytea'::regtype then 'binary'
        -- Translated unless listed below.
        else 'char'
    end,
    fk.relation,
    jsonb_build_object('en_US', initcap(replace(regexp_replace(a.attname, '_id$', ''), '_', ' '))),
    'base', true, a.attnotnull and a.attname <> 'id', a.attname in ('id', 'create_uid', 'create_date', 'write_uid', 'write_date'),
    true, false, a.atttypid = 'jsonb'::regtype, false, true,
    fk.on_delete, now() at time zone 'UTC', now() at time zone 'UTC'
from fixture_model f
join ir_model m on m.model = f.model
join pg_attribute a on a.attrelid = to_regclass('public.' || f.relname) and a.attnum > 0 and not a.attisdropped
left join lateral (
    select target.model as relation, case c.confdeltype when 'c' then 'cascade' when 'r' then 'restrict' else 'set null' end as on_delete
    from pg_constraint c
    join fixture_model target on to_regclass('public.' || target.relname) = c.confrelid
    where c.conrelid = a.attrelid and c.contype = 'f' and c.conkey = array[a.attnum]
) fk on true
order by m.id, a.attnum;

-- What a column does not tell.
create temporary table fixture_kind (model text, name text, ttype text);
insert into fixture_kind values
    ('sicantik.permit', 'status', 'selection'), ('sicantik.permit', 'expiry_status', 'selection'),
    ('sicantik.document', 'state', 'selection'), ('sicantik.document', 'signature_method', 'selection'),
    ('signature.workflow', 'state', 'selection'),
    ('res.partner', 'type', 'selection'), ('res.partner', 'lang', 'selection'), ('res.partner', 'tz', 'selection'),
    ('res.partner', 'comment', 'html'), ('res.users', 'notification_type', 'selection'), ('res.users', 'signature', 'html'),
    ('mail.message', 'body', 'html'), ('mail.message', 'message_type', 'selection'), ('mail.message', 'res_id', 'many2one_reference'),
    ('mail.followers', 'res_id', 'many2one_reference'), ('mail.tracking.value', 'field_info', 'json'),
    ('ir.model.data', 'res_id', 'many2one_reference'), ('ir.cron', 'interval_type', 'selection'),
    ('ir.module.module', 'state', 'selection'), ('ir.model', 'state', 'selection'), ('ir.model.fields', 'ttype', 'selection'),
    ('ir.model.fields', 'state', 'selection'),
    ('sicantik.whatsapp.provider', 'provider_type', 'selection'), ('sicantik.whatsapp.provider', 'credential_state', 'selection'),
    ('sicantik.whatsapp.template.master', 'meta_status', 'selection'), ('sicantik.whatsapp.template.master', 'watzap_status', 'selection'),
    ('sicantik.whatsapp.template.master', 'fonnte_status', 'selection'), ('sicantik.whatsapp.template.master', 'language', 'selection'),
    ('sicantik.whatsapp.message.log', 'state', 'selection'), ('sicantik.whatsapp.message.log', 'provider_type', 'selection'),
    ('whatsapp.message', 'state', 'selection'), ('whatsapp.message', 'message_type', 'selection'),
    ('whatsapp.message', 'free_text_json', 'json'),
    ('whatsapp.template', 'status', 'selection'), ('whatsapp.template', 'template_type', 'selection'),
    ('sicantik.notification.trigger', 'trigger_type', 'selection'), ('sicantik.notification.trigger', 'cron_interval_type', 'selection'),
    ('sicantik.notification.rule', 'recipient_type', 'selection'), ('sicantik.notification.rule', 'schedule_type', 'selection'),
    ('sicantik.notification.rule', 'rate_limit_period', 'selection'), ('sicantik.notification.campaign', 'state', 'selection'),
    ('sicantik.notification.queue', 'state', 'selection'), ('sicantik.notification.log', 'state', 'selection');
update ir_model_fields f
set ttype = k.ttype, translate = f.translate and k.ttype not in ('json', 'selection')
from fixture_kind k
where f.model = k.model and f.name = k.name;
update ir_model_fields set translate = false, company_dependent = true where model = 'res.partner' and name = 'barcode';
-- Registered as a many2one although the module of its target is not in the fixture.
update ir_model_fields set ttype = 'many2one', relation = 'res.country.state' where model = 'res.partner' and name = 'state_id';
update ir_model_fields set ttype = 'many2one', relation = 'res.partner.title' where model = 'res.partner' and name = 'title';
update ir_model_fields set index = true
from pg_index i
join pg_class t on t.oid = i.indrelid
join pg_attribute a on a.attrelid = t.oid and i.indnkeyatts = 1 and a.attnum = i.indkey[0]
join fixture_model m on m.relname = t.relname
where ir_model_fields.model = m.model and ir_model_fields.name = a.attname and a.attname <> 'id';
update ir_model_fields set readonly = true, depends = d.depends, copied = false
from (values
    ('sicantik.permit', 'days_until_expiry', 'expiry_date'), ('sicantik.permit', 'expiry_status', 'expiry_date'),
    ('sicantik.document', 'minio_url', 'minio_bucket,minio_object_name'), ('sicantik.document', 'verification_url', 'document_number'),
    ('sicantik.document', 'download_url', 'minio_object_name'), ('signature.workflow', 'progress', 'state'),
    ('res.partner', 'complete_name', 'is_company,name,parent_id.name,type,company_name,commercial_company_name'),
    ('res.partner', 'commercial_partner_id', 'is_company,parent_id.commercial_partner_id'),
    ('res.partner', 'email_normalized', 'email'), ('res.partner', 'phone_sanitized', 'phone'),
    ('res.partner', 'partner_share', 'user_ids.share,user_ids.active')
) as d (model, name, depends)
where ir_model_fields.model = d.model and ir_model_fields.name = d.name;
update ir_model_fields set readonly = true, copied = false, related = r.related
from (values
    ('sicantik.document', 'permit_number', 'permit_id.permit_number'),
    ('sicantik.document', 'permit_type_id', 'permit_id.permit_type_id'),
    ('signature.workflow', 'document_number', 'document_id.document_number'),
    ('signature.workflow', 'permit_number', 'document_id.permit_number'),
    ('res.company', 'email', 'partner_id.email'), ('res.company', 'phone', 'partner_id.phone'),
    ('res.company', 'mobile', 'partner_id.mobile'),
    ('sicantik.notification.trigger', 'model_name', 'model_id.model'),
    ('sicantik.notification.trigger', 'field_to_watch_name', 'field_to_watch.name'),
    ('sicantik.notification.rule', 'trigger_code', 'trigger_id.code'),
    ('sicantik.notification.queue', 'partner_name', 'partner_id.name'),
    ('sicantik.notification.queue', 'partner_phone', 'partner_id.phone'),
    ('sicantik.notification.log', 'partner_name', 'partner_id.name'),
    ('sicantik.notification.log', 'partner_phone', 'partner_id.phone')
) as r (model, name, related)
where ir_model_fields.model = r.model and ir_model_fields.name = r.name;
update ir_model_fields set tracking = 100
where (model = 'sicantik.permit' and name in ('permit_number', 'applicant_name', 'permit_type_name', 'issue_date', 'expiry_date', 'status'))
    or (model = 'sicantik.document' and name in ('document_number', 'name', 'permit_id', 'state'))
    or (model = 'signature.workflow' and name = 'state');
update ir_model_fields set field_description = field_description || jsonb_build_object('id_ID', l.label)
from (values
    ('sicantik.permit', 'registration_id', 'ID Pendaftaran'), ('sicantik.permit', 'permit_number', 'Nomor Izin'),
    ('sicantik.permit', 'applicant_name', 'Nama Pemohon'), ('sicantik.permit', 'permit_type_name', 'Jenis Izin'),
    ('sicantik.permit', 'expiry_date', 'Tanggal Kedaluwarsa'), ('sicantik.permit', 'status', 'Status'),
    ('sicantik.document', 'state', 'Status'), ('sicantik.document', 'document_number', 'Nomor Dokumen'),
    ('res.partner', 'whatsapp_number', 'Nomor WhatsApp'), ('res.partner', 'phone', 'Telepon')
) as l (model, name, label)
where ir_model_fields.model = l.model and ir_model_fields.name = l.name;

-- Fields without a column.
create temporary table fixture_virtual
    (model text, name text, ttype text, relation text, relation_field text, relation_table text, column1 text, column2 text, related text, store bool);
insert into fixture_virtual values
    ('sicantik.permit', 'mobile', 'char', null, null, null, null, null, null, false),
    ('sicantik.permit', 'document_ids', 'one2many', 'sicantik.document', 'permit_id', null, null, null, null, true),
    ('sicantik.permit', 'message_ids', 'one2many', 'mail.message', 'res_id', null, null, null, null, true),
    ('sicantik.permit', 'message_follower_ids', 'one2many', 'mail.followers', 'res_id', null, null, null, null, true),
    ('sicantik.permit', 'message_partner_ids', 'many2many', 'res.partner', null, null, null, null, null, false),
    ('sicantik.permit.type', 'permit_ids', 'one2many', 'sicantik.permit', 'permit_type_id', null, null, null, null, true),
    ('sicantik.permit.type', 'permit_count', 'integer', null, null, null, null, null, null, false),
    ('sicantik.document', 'qr_code_image', 'binary', null, null, null, null, null, null, true),
    ('sicantik.document', 'workflow_ids', 'one2many', 'signature.workflow', 'document_id', null, null, null, null, true),
    ('sicantik.document', 'message_ids', 'one2many', 'mail.message', 'res_id', null, null, null, null, true),
    ('sicantik.document', 'message_follower_ids', 'one2many', 'mail.followers', 'res_id', null, null, null, null, true),
    ('res.partner', 'child_ids', 'one2many', 'res.partner', 'parent_id', null, null, null, null, true),
    ('res.partner', 'user_ids', 'one2many', 'res.users', 'partner_id', null, null, null, null, true),
    ('res.partner', 'sicantik_permit_ids', 'one2many', 'sicantik.permit', 'partner_id', null, null, null, null, true),
    ('res.partner', 'category_id', 'many2many', 'res.partner.category', null, 'res_partner_res_partner_category_rel', 'partner_id', 'category_id', null, true),
    ('res.partner', 'country_code', 'char', null, null, null, null, null, 'country_id.code', false),
    ('res.partner', 'contact_address', 'char', null, null, null, null, null, null, false),
    ('res.partner', 'email_formatted', 'char', null, null, null, null, null, null, false),
    ('res.partner', 'self', 'many2one', 'res.partner', null, null, null, null, null, false),
    ('res.partner', 'image_1920', 'binary', null, null, null, null, null, null, true),
    ('res.partner.category', 'child_ids', 'one2many', 'res.partner.category', 'parent_id', null, null, null, null, true),
    ('res.partner.category', 'partner_ids', 'many2many', 'res.partner', null, 'res_partner_res_partner_category_rel', 'category_id', 'partner_id', null, true),
    ('res.users', 'company_ids', 'many2many', 'res.company', null, 'res_company_users_rel', 'user_id', 'cid', null, true),
    ('res.users', 'new_password', 'char', null, null, null, null, null, null, false),
    ('res.groups', 'implied_ids', 'many2many', 'res.groups', null, 'res_groups_implied_rel', 'gid', 'hid', null, true),
    ('res.groups', 'full_name', 'char', null, null, null, null, null, null, false),
    ('res.company', 'child_ids', 'one2many', 'res.company', 'parent_id', null, null, null, null, true),
    ('res.company', 'user_ids', 'many2many', 'res.users', null, 'res_company_users_rel', 'cid', 'user_id', null, true),
    ('res.company', 'street', 'char', null, null, null, null, null, null, false),
    ('ir.model', 'field_id', 'one2many', 'ir.model.fields', 'model_id', null, null, null, null, true),
    ('ir.model.fields', 'selection_ids', 'one2many', 'ir.model.fields.selection', 'field_id', null, null, null, null, true),
    ('whatsapp.account', 'notify_user_ids', 'many2many', 'res.users', null, 'res_users_whatsapp_account_rel', 'whatsapp_account_id', 'res_users_id', null, true),
    ('whatsapp.account', 'allowed_company_ids', 'many2many', 'res.company', null, 'res_company_whatsapp_account_rel', 'whatsapp_account_id', 'res_company_id', null, true),
    ('whatsapp.template', 'allowed_user_ids', 'many2many', 'res.users', null, 'res_users_whatsapp_template_rel', 'whatsapp_template_id', 'res_users_id', null, true),
    ('whatsapp.template', 'variable_ids', 'one2many', 'whatsapp.template.variable', 'wa_template_id', null, null, null, null, true),
    ('sicantik.notification.trigger', 'rule_ids', 'one2many', 'sicantik.notification.rule', 'trigger_id', null, null, null, null, true),
    ('sicantik.notification.campaign', 'queue_ids', 'one2many', 'sicantik.notification.queue', 'campaign_id', null, null, null, null, true);
-- The names of groups and their users changed between the two profiles.
insert into fixture_virtual
select 'res.users', case when {saas} then 'group_ids' else 'groups_id' end,
    'many2many', 'res.groups', null, 'res_groups_users_rel', 'uid', 'gid', null, true
union all
select 'res.groups', case when {saas} then 'user_ids' else 'users' end,
    'many2many', 'res.users', null, 'res_groups_users_rel', 'gid', 'uid', null, true
union all
select 'res.users', 'all_group_ids', 'many2many', 'res.groups', null, null, null, null, null, false where {saas};
-- Every model has a display name; a message log stores its own.
insert into fixture_virtual
select model, 'display_name', 'char', null, null, null, null, null, null, false
from fixture_model f
where not exists (select from ir_model_fields x where x.model = f.model and x.name = 'display_name');
delete from fixture_virtual v
where not exists (select from fixture_model m where m.model = v.model)
    or v.relation is not null and not exists (select from fixture_model m where m.model = v.relation);
insert into ir_model_fields
    (model_id, model, name, ttype, relation, relation_field, relation_table, column1, column2, related, field_description, state,
     store, required, readonly, copied, index, translate, company_dependent, selectable, create_date, write_date)
select m.id, m.model, v.name, v.ttype, v.relation, v.relation_field, v.relation_table, v.column1, v.column2, v.related,
    jsonb_build_object('en_US', initcap(replace(v.name, '_', ' '))), 'base',
    v.store, false, not v.store, false, false, false, false, true, now() at time zone 'UTC', now() at time zone 'UTC'
from fixture_virtual v
join ir_model m on m.model = v.model;

-- Users delegate to their partner: its fields appear on the user, without columns.
insert into ir_model_inherit (model_id, parent_id, parent_field_id)
select u.id, p.id, f.id
from ir_model u
join ir_model p on p.model = 'res.partner'
join ir_model_fields f on f.model = 'res.users' and f.name = 'partner_id'
where u.model = 'res.users';
insert into ir_model_fields
    (model_id, model, name, ttype, relation, relation_field, relation_table, column1, column2, related, field_description, state,
     store, required, readonly, copied, index, translate, company_dependent, selectable, create_date, write_date)
select m.id, m.model, f.name, f.ttype, f.relation, f.relation_field, f.relation_table, f.column1, f.column2, 'partner_id.' || f.name,
    f.field_description, 'base', false, false, false, false, false, f.translate, f.company_dependent, true, f.create_date, f.write_date
from ir_model_fields f
join ir_model m on m.model = 'res.users'
where f.model = 'res.partner'
on conflict (model, name) do nothing;

update ir_model_fields f set relation_field_id = target.id
from ir_model_fields target
where target.model = f.relation and target.name = f.relation_field;
update ir_model_fields set complete_name = model || '.' || name where complete_name is null and related is not null;

-- Values and labels of the selections.
insert into ir_model_fields_selection (field_id, value, name, sequence, create_date, write_date)
select f.id, s.value, jsonb_build_object('en_US', s.label, 'id_ID', s.label_id), s.sequence,
    now() at time zone 'UTC', now() at time zone 'UTC'
from (values
    ('sicantik.permit', 'status', 'draft', 'Draft', 'Draf', 0), ('sicantik.permit', 'status', 'active', 'Active', 'Aktif', 1),
    ('sicantik.permit', 'status', 'expired', 'Expired', 'Kedaluwarsa', 2), ('sicantik.permit', 'status', 'renewed', 'Renewed', 'Diperpanjang', 3),
    ('sicantik.permit', 'status', 'cancelled', 'Cancelled', 'Dibatalkan', 4),
    ('sicantik.permit', 'expiry_status', 'ok', 'OK', 'Aman', 0), ('sicantik.permit', 'expiry_status', 'warning', 'Warning', 'Peringatan', 1),
    ('sicantik.permit', 'expiry_status', 'critical', 'Critical', 'Kritis', 2), ('sicantik.permit', 'expiry_status', 'expired', 'Expired', 'Kedaluwarsa', 3),
    ('sicantik.document', 'state', 'draft', 'Draft', 'Draf', 0), ('sicantik.document', 'state', 'uploaded', 'Uploaded', 'Diunggah', 1),
    ('sicantik.document', 'state', 'pending_signature', 'Pending Signature', 'Menunggu Tanda Tangan', 2),
    ('sicantik.document', 'state', 'signed', 'Signed', 'Sudah Ditandatangani', 3), ('sicantik.document', 'state', 'verified', 'Verified', 'Terverifikasi', 4),
    ('sicantik.document', 'state', 'rejected', 'Rejected', 'Ditolak', 5), ('sicantik.document', 'state', 'cancelled', 'Cancelled', 'Dibatalkan', 6),
    ('sicantik.document', 'signature_method', 'bsre', 'BSRE', 'BSRE', 0), ('sicantik.document', 'signature_method', 'manual', 'Manual', 'Manual', 1),
    ('signature.workflow', 'state', 'draft', 'Draft', 'Draf', 0), ('signature.workflow', 'state', 'pending', 'Pending', 'Menunggu', 1),
    ('signature.workflow', 'state', 'approved', 'Approved', 'Disetujui', 2), ('signature.workflow', 'state', 'signing', 'Signing', 'Proses Tanda Tangan', 3),
    ('signature.workflow', 'state', 'signed', 'Signed', 'Sudah Ditandatangani', 4), ('signature.workflow', 'state', 'rejected', 'Rejected', 'Ditolak', 5),
    ('signature.workflow', 'state', 'cancelled', 'Cancelled', 'Dibatalkan', 6),
    ('res.partner', 'type', 'contact', 'Contact', 'Kontak', 0), ('res.partner', 'type', 'invoice', 'Invoice Address', 'Alamat Tagihan', 1),
    ('res.partner', 'type', 'delivery', 'Delivery Address', 'Alamat Pengiriman', 2), ('res.partner', 'type', 'other', 'Other Address', 'Alamat Lain', 3),
    ('sicantik.whatsapp.provider', 'provider_type', 'meta', 'Meta', 'Meta', 0), ('sicantik.whatsapp.provider', 'provider_type', 'watzap', 'Watzap', 'Watzap', 1),
    ('sicantik.whatsapp.provider', 'provider_type', 'fonnte', 'Fonnte', 'Fonnte', 2),
    ('sicantik.whatsapp.provider', 'credential_state', 'draft', 'Draft', 'Draf', 0), ('sicantik.whatsapp.provider', 'credential_state', 'configured', 'Configured', 'Terkonfigurasi', 1),
    ('sicantik.whatsapp.provider', 'credential_state', 'error', 'Error', 'Gagal', 2),
    ('sicantik.notification.campaign', 'state', 'draft', 'Draft', 'Draf', 0), ('sicantik.notification.campaign', 'state', 'scheduled', 'Scheduled', 'Terjadwal', 1),
    ('sicantik.notification.campaign', 'state', 'running', 'Running', 'Berjalan', 2), ('sicantik.notification.campaign', 'state', 'paused', 'Paused', 'Dijeda', 3),
    ('sicantik.notification.campaign', 'state', 'completed', 'Completed', 'Selesai', 4), ('sicantik.notification.campaign', 'state', 'cancelled', 'Cancelled', 'Dibatalkan', 5)
) as s (model, field, value, label, label_id, sequence)
join ir_model_fields f on f.model = s.model and f.name = s.field;

-- External ids of models and fields.
insert into ir_model_data (module, name, model, res_id, noupdate)
select f.module, 'model_' || replace(f.model, '.', '_'), 'ir.model', m.id, false
from fixture_model f
join ir_model m on m.model = f.model;
insert into ir_model_data (module, name, model, res_id, noupdate)
select m.module, 'field_' || replace(f.model, '.', '_') || '__' || f.name, 'ir.model.fields', f.id, false
from ir_model_fields f
join fixture_model m on m.model = f.model;

drop table fixture_model, fixture_kind, fixture_virtual;
