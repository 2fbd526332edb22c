-- The base data of the fixture. Ids are fixed: src/testkit/host/ids.rs names those that tests use.
-- Filled in by the installer: {today} (a date literal), {uuid}, {saas} (true or false), {type_1}, {type_2}.

insert into res_currency (id, name, symbol, full_name, rounding, decimal_places, active) values (1, 'IDR', 'Rp', 'Rupiah', 0.01, 2, true);
insert into res_country (id, code, phone_code, name, create_date, write_date) values
    (100, 'ID', 62, '{"en_US": "Indonesia", "id_ID": "Indonesia"}', {t0}, {t0}),
    (231, 'GB', 44, '{"en_US": "United Kingdom", "id_ID": "Britania Raya"}', {t0}, {t0});
insert into res_lang
    (id, name, code, iso_code, url_code, direction, date_format, time_format, short_time_format, week_start, grouping, decimal_point,
     thousands_sep, active)
values
    (1, 'English (US)', 'en_US', 'en', 'en', 'ltr', '%m/%d/%Y', '%H:%M:%S', '%H:%M', '7', '[3,0]', '.', ',', true),
    (2, 'Indonesian / Bahasa Indonesia', 'id_ID', 'id', 'id', 'ltr', '%d-%m-%Y', '%H:%M:%S', '%H:%M', '1', '[3,0]', ',', '.', true);

-- Partners. The number stands in "phone" here; on 18.0 that of the citizens moves to "mobile" below.
insert into res_partner
    (id, name, complete_name, phone, phone_sanitized, whatsapp_number, whatsapp_opt_in, active, is_company, parent_id, commercial_partner_id,
     type, lang, country_id, email, email_normalized, employee, partner_share, color, message_bounce, create_date, write_date)
select
    id, name, coalesce(full_name, name), phone, sanitized, whatsapp, opt_in, active, company, parent, coalesce(parent, id),
    'contact', case when id = 14 then 'en_US' else 'id_ID' end, case when id = 14 then 231 else 100 end,
    email, lower(email), null, id >= 10, 0, 0, {t0}, {t0}
from (values
    (1, 'DPMPTSP Kabupaten Karo', null, '(0628) 20-123', '+6262820123', null, null::bool, true, true, null::int, 'kantor@example.com'),
    (2, 'OdooBot', null, null, null, null, null, false, false, null, 'odoobot@example.com'),
    (3, 'Administrator', null, null, null, null, null, true, false, null, 'admin@example.com'),
    (4, 'Public user', null, null, null, null, null, false, false, null, null),
    (5, 'Portal Warga', null, '0813 0000 0005', '+6281300000005', null, null, true, false, null, 'portal@example.com'),
    (6, 'Siti Rahayu', null, '0813-6000-0006', '+6281360000006', '+6281360000006', true, true, false, null, 'siti@example.com'),
    (7, 'Rina Ginting', null, '+62 813 6000 0007', '+6281360000007', null, null, true, false, null, 'rina@example.com'),
    (8, 'Drs. Edi Sembiring', null, '6281360000008', '+6281360000008', null, null, true, false, null, 'edi@example.com'),
    (10, 'Budi Santoso', null, '0812-3456-7890', '+6281234567890', null, null, true, false, null, 'Budi@Example.com'),
    (11, 'Ani Lestari', null, '+62 812-1111-2222', '+6281211112222', null, null, true, false, null, null),
    (12, 'Candra Wijaya', null, '628123334444', '+628123334444', null, null, true, false, null, null),
    (13, 'Dewi Kartini', null, '+62628125556666', null, null, null, true, false, null, null),
    (14, 'John Smith', null, '+44 7911 123456', '+447911123456', null, null, true, false, null, null),
    (15, 'Eka Putri', null, null, null, '+6281377778888', null, true, false, null, null),
    (16, 'Fajar Nugroho', null, null, null, null, null, true, false, null, null),
    (17, 'Gita Permata', null, '081200001717', '+6281200001717', null, null, false, false, null, null),
    (18, 'PT Maju Jaya', null, '(061) 456-7890', '+62614567890', null, null, true, true, null, 'info@example.com'),
    (19, 'Hadi Purnomo', 'PT Maju Jaya, Hadi Purnomo', '0812 1900 1900', '+6281219001900', null, null, true, false, 18, null),
    (20, 'Indra Gunawan', null, '0812.2020.2021', '+6281220202021', null, null, true, false, null, null),
    (21, 'Joko Susilo', null, '+6281220202021', '+6281220202021', null, null, true, false, null, null),
    (22, 'Kartika Sari', null, 'hub. 0812/99 (sore)', null, null, null, true, false, null, null),
    (23, 'O''Neil "Bang" {Ucok} {{nama}} \ 100%', null, '0812-2323-2323', '+6281223232323', null, null, true, false, null, null),
    (24, 'Budi', null, '0812 2424 2424', '+6281224242424', null, null, true, false, null, null),
    (25, 'Lina Marlina', null, '0812 2525 2525', '+6281225252525', '+6281225252525', true, true, false, null, null),
    (26, 'Maria Tarigan', null, '0812-9876-5432', '+6281298765432', null, null, true, false, null, null),
    (27, 'Nanda Pratama', null, '+62 812 7777 0027', '+6281277770027', null, null, true, false, null, null)
) as p (id, name, full_name, phone, sanitized, whatsapp, opt_in, active, company, parent, email);
update res_partner set whatsapp_opt_in_date = {t0} where whatsapp_opt_in;
update res_partner set barcode = '{"1": "KARO-0010"}' where id = 10;
update res_partner set tz = 'Asia/Jakarta', employee = true where id in (6, 7, 8);
do $$
begin
    if exists (select from pg_attribute where attrelid = 'public.res_partner'::regclass and attname = 'mobile' and not attisdropped) then
        update public.res_partner set mobile = phone, phone = null where id >= 10 and id <> 18;
    end if;
end
$$;

insert into res_partner_category (id, name, color, active, parent_path) values
    (1, '{"en_US": "Entrepreneur", "id_ID": "Pelaku Usaha"}', 1, true, '1/'),
    (2, '{"en_US": "Priority", "id_ID": "Prioritas"}', 2, true, '1/2/');
update res_partner_category set parent_id = 1 where id = 2;
insert into res_partner_res_partner_category_rel (category_id, partner_id) values (1, 10), (1, 18), (2, 25);

insert into res_company (id, name, partner_id, currency_id, sequence, layout_background, parent_path, active, email, phone, create_date, write_date)
values (1, 'DPMPTSP Kabupaten Karo', 1, 1, 0, 'Blank', '1/', true, 'kantor@example.com', '(0628) 20-123', {t0}, {t0});
insert into res_users
    (id, company_id, partner_id, active, login, password, share, notification_type, signature, create_date, write_date)
values
    (1, 1, 2, false, '__system__', null, false, 'email', null, {t0}, {t0}),
    (2, 1, 3, true, 'admin', '$pbkdf2-sha512$600000$never$read', false, 'email', '<p>Administrator</p>', {t0}, {t0}),
    (4, 1, 4, false, 'public', null, true, 'email', null, {t0}, {t0}),
    (5, 1, 5, true, 'portal@example.com', '$pbkdf2-sha512$600000$never$read', true, 'email', null, {t0}, {t0}),
    (6, 1, 6, true, 'siti@example.com', '$pbkdf2-sha512$600000$never$read', false, 'email', null, {t0}, {t0}),
    (7, 1, 7, true, 'rina@example.com', '$pbkdf2-sha512$600000$never$read', false, 'email', null, {t0}, {t0}),
    (8, 1, 8, true, 'edi@example.com', '$pbkdf2-sha512$600000$never$read', false, 'inbox', null, {t0}, {t0});
insert into res_company_users_rel (cid, user_id) select 1, id from res_users;

insert into ir_module_category (id, name, sequence, visible) values (1, '{"en_US": "Administration"}', 1, true), (2, '{"en_US": "User types"}', 2, true);
insert into res_groups (id, name, category_id, share, comment, create_date, write_date) values
    (1, '{"en_US": "Internal User", "id_ID": "Pengguna Internal"}', 2, false, null, {t0}, {t0}),
    (2, '{"en_US": "Settings", "id_ID": "Pengaturan"}', 1, false, null, {t0}, {t0}),
    (3, '{"en_US": "Portal"}', 2, true, null, {t0}, {t0}),
    (4, '{"en_US": "Public"}', 2, true, null, {t0}, {t0}),
    (10, '{"en_US": "DPMPTSP Staff", "id_ID": "Staf DPMPTSP"}', null, false, null, {t0}, {t0}),
    (11, '{"en_US": "Pejabat", "id_ID": "Pejabat"}', null, false, null, {t0}, {t0});
-- gid implies hid: a member of Pejabat is a member of DPMPTSP Staff, and so of Internal User.
insert into res_groups_implied_rel (gid, hid) values (2, 1), (10, 1), (11, 10);
insert into res_groups_users_rel (gid, uid) values (1, 1), (2, 2), (3, 5), (4, 4), (10, 6), (10, 7), (11, 8);
-- 18.0 writes the implied memberships too; saas~18.4 does not.
insert into res_groups_users_rel (gid, uid)
with recursive implied (gid, uid) as (
    select gid, uid from res_groups_users_rel
    union
    select r.hid, i.uid from implied i join res_groups_implied_rel r on r.gid = i.gid
)
select gid, uid from implied where not {saas}
on conflict do nothing;

insert into ir_model_data (module, name, model, res_id, noupdate) values
    ('base', 'main_company', 'res.company', 1, true), ('base', 'main_partner', 'res.partner', 1, true),
    ('base', 'id', 'res.country', 100, true), ('base', 'uk', 'res.country', 231, true),
    ('base', 'IDR', 'res.currency', 1, true), ('base', 'lang_en', 'res.lang', 1, true), ('base', 'lang_id', 'res.lang', 2, true),
    ('base', 'partner_root', 'res.partner', 2, true), ('base', 'partner_admin', 'res.partner', 3, true),
    ('base', 'user_root', 'res.users', 1, true), ('base', 'user_admin', 'res.users', 2, true), ('base', 'public_user', 'res.users', 4, true),
    ('base', 'group_user', 'res.groups', 1, false), ('base', 'group_system', 'res.groups', 2, false),
    ('base', 'group_portal', 'res.groups', 3, false), ('base', 'group_public', 'res.groups', 4, false),
    -- "DPMPTSP Staff" was made by hand and has none; this one was exported once.
    ('__export__', 'res_groups_11_4f2a9c1e', 'res.groups', 11, false);

insert into ir_config_parameter (key, value, create_date, write_date) values
    ('database.uuid', {uuid}, {t0}, {t0}),
    ('database.secret', '00000000-0000-0000-0000-000000000000', {t0}, {t0}),
    ('web.base.url', 'http://localhost:8069', {t0}, {t0}),
    ('sicantik_whatsapp.default_provider_id', '2', {t0}, {t0}),
    ('sicantik_whatsapp.webhook_base_url', 'https://sicantik.example.com', {t0}, {t0}),
    ('sicantik_tte.verification_base_url', 'https://sicantik.example.com', {t0}, {t0}),
    ('sicantik_tte.minio_endpoint', 'localhost:9000', {t0}, {t0});
insert into ir_module_module (name, state, latest_version, shortdesc, application, auto_install, create_date, write_date)
select name, 'installed', version, jsonb_build_object('en_US', name), false, false, {t0}, {t0}
from (values ('base', '1.3'), ('web', '1.0'), ('mail', '1.18'), ('phone_validation', '2.1'), ('sms', '3.0'), ('whatsapp', '1.0'),
    ('sicantik_connector', '1.0.0'), ('sicantik_tte', '1.0.0'), ('sicantik_whatsapp', '1.0.0'),
    ('sicantik_notification_automation', '1.0.0')) as m (name, version)
where (name <> 'whatsapp' or to_regclass('public.whatsapp_account') is not null)
    and (name <> 'sicantik_notification_automation' or to_regclass('public.sicantik_notification_rule') is not null);

-- The crons of the SICANTIK modules.
create temporary table fixture_cron (id int, module text, xmlid text, name text, model text, number int, kind text, priority int, code text);
insert into fixture_cron values
    (1, 'sicantik_notification_automation', 'cron_process_notification_queue', 'SICANTIK: Process Notification Queue', 'sicantik.notification.queue', 1, 'minutes', 20, 'model._process_queue()'),
    (2, 'sicantik_notification_automation', 'cron_process_campaign_batch', 'SICANTIK: Process Campaign Batch', 'sicantik.notification.campaign', 5, 'minutes', 15, 'model._process_campaigns()'),
    (3, 'sicantik_notification_automation', 'cron_cleanup_notification_logs', 'SICANTIK: Cleanup Old Notification Logs', 'sicantik.notification.log', 1, 'days', 5, 'model._cleanup_old_logs(days=90)'),
    (4, 'sicantik_connector', 'cron_update_expired_permits', 'SICANTIK: Update Expired Permits', 'sicantik.permit', 1, 'days', 5, 'model._cron_update_expired_permits()'),
    (5, 'sicantik_connector', 'cron_sync_expiry_dates', 'SICANTIK: Sync Expiry Dates (Workaround)', 'sicantik.permit', 1, 'days', 10, 'model._cron_sync_expiry_dates()'),
    (6, 'sicantik_connector', 'cron_check_expiring_permits', 'SICANTIK: Check Expiring Permits', 'sicantik.permit', 1, 'days', 15, 'model._cron_check_expiring_permits()'),
    (7, 'sicantik_whatsapp', 'cron_check_permit_expiry', 'Cek Izin Mendekati Masa Berlaku (WhatsApp)', 'sicantik.permit', 1, 'days', 5, 'model._cron_check_expiring_permits()'),
    (8, 'sicantik_whatsapp', 'cron_document_pending_reminder', 'Reminder Dokumen Pending (WhatsApp)', 'sicantik.document', 1, 'days', 6, 'model._cron_pending_reminder()');
delete from fixture_cron where to_regclass('public.' || replace(model, '.', '_')) is null;
insert into ir_act_server (id, name, type, model_id, model_name, state, usage, code, sequence, binding_type, create_date, write_date)
select c.id, jsonb_build_object('en_US', c.name), 'ir.actions.server', m.id, c.model, 'code', 'ir_cron', c.code, 5, 'action', {t0}, {t0}
from fixture_cron c
join ir_model m on m.model = c.model;
insert into ir_cron
    (id, ir_actions_server_id, user_id, interval_number, interval_type, priority, cron_name, active, nextcall, failure_count, create_date, write_date)
select id, id, 1, number, kind, priority, name, true, {today}::timestamp + interval '1 day', 0, {t0}, {t0}
from fixture_cron;
insert into ir_model_data (module, name, model, res_id, noupdate) select module, xmlid, 'ir.cron', id, true from fixture_cron;
drop table fixture_cron;

-- Permits: every status, with and without partner, number and date of expiry.
insert into sicantik_permit_type (id, name, code, active, create_date, write_date) values
    (1, {type_1}, 'SIP-D', true, {t0}, {t0}), (2, {type_2}, 'IMB', true, {t0}, {t0});
insert into sicantik_permit
    (id, registration_id, permit_number, applicant_name, permit_type_id, permit_type_name, partner_id, status, issue_date, received_date,
     expiry_date, days_until_expiry, expiry_status, is_renewal, original_permit_id, last_sync_date, create_uid, write_uid, create_date, write_date)
select
    p.id, 'REG-2025-' || lpad(p.id::text, 6, '0'), p.number, p.applicant, p.kind,
    case p.kind when 1 then 'Surat Izin Praktik Dokter' else 'Izin Mendirikan Bangunan' end,
    p.partner, p.status, {today}::date - 300, {today}::date - 320, {today}::date + p.days,
    coalesce(p.days, 0),
    case when p.days is null then null when p.days < 0 then 'expired' when p.days <= 30 then 'critical' when p.days <= 60 then 'warning' else 'ok' end,
    p.original is not null, p.original, date_trunc('second', {t0}), 1, 1, {t0}, {t0}
from (values
    (1, 'SIP/0001/2025', 'Budi Santoso', 1, 10, 'active', 30, null::int),
    (2, 'SIP/0002/2025', 'Ani Lestari', 1, 11, 'active', 31, null),
    (3, 'SIP/0003/2025', 'Candra Wijaya', 1, 12, 'active', 7, null),
    (4, 'IMB/0004/2025', 'Dewi Kartini', 2, 13, 'active', 0, null),
    (5, 'IMB/0005/2025', 'John Smith', 2, 14, 'active', null, null),
    (6, null, 'Eka Putri', 1, 15, 'draft', null, null),
    (7, 'IMB/0007/2024', 'Fajar Nugroho', 2, 16, 'expired', -10, null),
    (8, 'SIP/0008/2023', 'Gita Permata', 1, 17, 'renewed', -40, null),
    (9, 'IMB/0009/2025', 'PT Maju Jaya', 2, 18, 'cancelled', 90, null),
    (10, 'IMB/0010/2025', 'Warga Tanpa Kontak', 2, null, 'active', 20, null),
    -- The sync links by a part of the name: this applicant is not that partner.
    (11, 'SIP/0011/2025', 'Budi', 1, 10, 'active', 365, null),
    -- Past its date and still active: the nightly cron failed.
    (12, 'IMB/0012/2024', 'Hadi Purnomo', 2, 19, 'active', -1, null),
    (13, 'SIP/0013/2025', 'Indra Gunawan', 1, 20, 'active', 30, null),
    (14, 'SIP/0014/2025', 'Joko Susilo', 1, 21, 'active', 30, null),
    (15, null, 'Lina Marlina', null, 25, 'draft', null, null),
    (16, 'SIP/0016/2025', 'Gita Permata', 1, 17, 'active', 700, 8),
    (17, 'IMB/0017/2025', 'O''Neil "Bang" {Ucok} {{nama}} \ 100%', 2, 23, 'active', 15, null),
    (18, 'SIP/0018/2025', 'Kartika Sari', 1, 22, 'active', 25, null),
    (19, 'SIP/0019/2025', 'Maria Tarigan', 1, 26, 'active', 10, null),
    (20, 'SIP/0020/2025', null, 1, 27, 'active', 12, null)
) as p (id, number, applicant, kind, partner, status, days, original);
update sicantik_permit set renewal_permit_id = 16 where id = 8;
update res_partner p set sicantik_permit_count = n.count from (select partner_id, count(*) from sicantik_permit group by 1) n where n.partner_id = p.id;

-- Documents: one in each state; created before the last day so that the reminder meets the waiting one.
insert into sicantik_document
    (id, document_number, name, permit_id, permit_number, permit_type_id, state, original_filename, minio_bucket, minio_object_name, minio_url,
     verification_url, download_url, verification_count, uploaded_by, upload_date, signer_id, signature_method, signature_date,
     create_uid, write_uid, create_date, write_date)
select
    d.id, 'DOC/2025/' || lpad(d.id::text, 5, '0'), 'Dokumen ' || p.permit_type_name, p.id, p.permit_number, p.permit_type_id, d.state,
    'izin-' || d.id || '.pdf', 'sicantik-documents', 'permits/' || d.id || '.pdf',
    'http://localhost:9000/sicantik-documents/permits/' || d.id || '.pdf', 'https://sicantik.example.com/verify/' || d.id,
    'https://sicantik.example.com/download/' || d.id, 0,
    case when d.state <> 'draft' then 6 end, case when d.state <> 'draft' then {t0} end,
    case when d.state in ('signed', 'verified') then 8 end, case when d.state in ('signed', 'verified') then 'bsre' end,
    case when d.state in ('signed', 'verified') then {t0} end, 6, 6, {t0}, {t0}
from (values (1, 1, 'draft'), (2, 2, 'uploaded'), (3, 3, 'pending_signature'), (4, 4, 'signed'), (5, 5, 'verified'),
    (6, 9, 'rejected'), (7, 10, 'cancelled')) as d (id, permit, state)
join sicantik_permit p on p.id = d.permit;
insert into signature_workflow
    (id, document_id, document_number, permit_number, state, requester_id, request_date, progress, create_uid, write_uid, create_date, write_date)
select w.id, d.id, d.document_number, d.permit_number, w.state, 6, {t0}, w.progress, 6, 6, {t0}, {t0}
from (values (1, 3, 'pending', 25.0), (2, 4, 'signed', 100.0)) as w (id, document, state, progress)
join sicantik_document d on d.id = w.document;

insert into phone_blacklist (number, active, create_date, write_date) values ('+6281277770027', true, {t0}, {t0}), ('+6281211112222', false, {t0}, {t0});

-- WhatsApp: providers and templates of the replaced module.
insert into sicantik_whatsapp_provider
    (id, name, sequence, active, provider_type, is_default, watzap_base_url, watzap_api_key, watzap_device_id, fonnte_api_url, fonnte_token,
     fonnte_device, credential_state, create_date, write_date)
values
    (1, 'Meta WhatsApp Business', 10, true, 'meta', false, null, null, null, null, null, null, 'draft', {t0}, {t0}),
    (2, 'Fonnte', 20, true, 'fonnte', true, null, null, null, 'https://fonnte.example.com', 'fixture-fonnte-token', '6281360000001', 'configured', {t0}, {t0}),
    (3, 'Watzap', 30, true, 'watzap', false, 'https://watzap.example.com/v1', 'fixture-watzap-key', 'fixture-device', null, null, null, 'draft', {t0}, {t0});
insert into sicantik_whatsapp_template_master
    (id, template_key, name, parameter_list, parameter_count, meta_template_name, watzap_template_name, fonnte_template_name, body_preview,
     active, language, meta_status, watzap_status, fonnte_status, usage_count, create_date, write_date)
select id, template_key, name, parameters, n, meta, gateway, gateway, body, true, 'id', 'not_configured', 'not_configured', 'not_configured', 0, {t0}, {t0}
from (values
    (1, 'permit_ready', 'Izin Selesai Diproses', '["partner_name", "permit_number", "permit_type", "status"]', 4, 'izin_selesai_diproses', 'izin_selesai_diproses',
        'Yth. {{partner_name}}, izin Anda nomor {{permit_number}} ({{permit_type}}) telah selesai diproses dengan status {{status}}. Silakan diambil di kantor DPMPTSP Kabupaten Karo.'),
    (2, 'izin_selesai_diproses', 'Izin Selesai Diproses (Utility)', '["partner_name", "permit_number", "permit_type", "status", "completion_date"]', 5, 'izin_selesai_diproses', 'izin_selesai_diproses',
        'Yth. {{partner_name}}, dengan hormat kami sampaikan bahwa izin nomor {{permit_number}} jenis {{permit_type}} berstatus {{status}} dan selesai pada {{completion_date}}. DPMPTSP Kabupaten Karo.'),
    (3, 'permit_reminder', 'Peringatan Masa Berlaku Izin', '["partner_name", "permit_number", "permit_type", "expiry_date", "days_remaining", "renewal_link", "contact_info"]', 7, 'peringatan_masa_berlaku_izin', 'peringatan_masa_berlaku',
        'Yth. {{partner_name}}, izin {{permit_number}} ({{permit_type}}) berlaku sampai {{expiry_date}}, tersisa {{days_remaining}} hari. Perpanjang di {{renewal_link}} atau hubungi {{contact_info}}. DPMPTSP Kabupaten Karo.'),
    (4, 'izin_peringatan_berlaku', 'Peringatan Masa Berlaku Izin (Utility)', '["partner_name", "permit_number", "permit_type", "expiry_date", "days_remaining", "renewal_link", "contact_info"]', 7, 'izin_peringatan_berlaku', 'peringatan_masa_berlaku',
        'Yth. {{partner_name}}, masa berlaku izin nomor {{permit_number}} jenis {{permit_type}} berakhir pada {{expiry_date}} ({{days_remaining}} hari lagi). Perpanjangan: {{renewal_link}}. Kontak: {{contact_info}}.'),
    (5, 'status_update', 'Update Status Perizinan', '["partner_name", "permit_number", "permit_type", "new_status", "update_date"]', 5, 'update_status_perizinan', 'update_status',
        'Yth. {{partner_name}}, status izin {{permit_number}} ({{permit_type}}) berubah menjadi {{new_status}} pada {{update_date}}. DPMPTSP Kabupaten Karo.'),
    (6, 'izin_update_status', 'Update Status Perizinan (Utility)', '["partner_name", "permit_number", "permit_type", "new_status", "update_date", "update_reason"]', 6, 'izin_update_status', 'update_status',
        'Yth. {{partner_name}}, izin nomor {{permit_number}} jenis {{permit_type}} kini berstatus {{new_status}} sejak {{update_date}}. Keterangan: {{update_reason}}.'),
    (7, 'renewal_approved', 'Perpanjangan Izin Disetujui', '["partner_name", "permit_number", "permit_type", "new_expiry_date"]', 4, 'perpanjangan_izin_disetujui', 'perpanjangan_disetujui',
        'Yth. {{partner_name}}, perpanjangan izin {{permit_number}} ({{permit_type}}) disetujui dan berlaku sampai {{new_expiry_date}}. DPMPTSP Kabupaten Karo.'),
    (8, 'izin_perpanjangan_disetujui', 'Perpanjangan Izin Disetujui (Utility)', '["partner_name", "permit_number", "permit_type", "new_expiry_date", "approval_date"]', 5, 'izin_perpanjangan_disetujui', 'perpanjangan_disetujui',
        'Yth. {{partner_name}}, perpanjangan izin nomor {{permit_number}} jenis {{permit_type}} berlaku sampai {{new_expiry_date}}, disetujui pada {{approval_date}}.'),
    (9, 'document_pending', 'Dokumen Baru untuk Tandatangan', '["jumlah", "jenis_izin", "nama_pemohon", "pendaftaran_id", "link_dashboard"]', 5, 'dokumen_baru_untuk_tandatangan', 'dokumen_baru',
        'Ada {{jumlah}} dokumen baru menunggu tanda tangan: {{jenis_izin}} atas nama {{nama_pemohon}}, pendaftaran {{pendaftaran_id}}. Buka {{link_dashboard}}.'),
    (10, 'izin_dokumen_baru', 'Dokumen Baru untuk Tandatangan (Utility)', '["staff_name", "permit_type", "applicant_name", "registration_id", "document_date"]', 5, 'izin_dokumen_baru', 'dokumen_baru',
        'Yth. {{staff_name}}, dokumen {{permit_type}} atas nama {{applicant_name}} dengan pendaftaran {{registration_id}} tanggal {{document_date}} memerlukan tindakan Anda.'),
    (11, 'approval_required', 'Dokumen Perlu Approval', '["nama_pejabat", "jenis_izin", "nama_pemohon", "permit_number", "approval_link"]', 5, 'dokumen_perlu_approval', 'approval_required',
        'Yth. {{nama_pejabat}}, dokumen {{jenis_izin}} atas nama {{nama_pemohon}} nomor {{permit_number}} perlu persetujuan: {{approval_link}}.'),
    (12, 'izin_perlu_approval', 'Dokumen Perlu Approval (Utility)', '["official_name", "permit_type", "applicant_name", "permit_number", "request_date", "approval_link"]', 6, 'izin_perlu_approval', 'approval_required',
        'Yth. {{official_name}}, mohon persetujuan atas {{permit_type}} pemohon {{applicant_name}} nomor {{permit_number}}, diajukan {{request_date}}: {{approval_link}}.'),
    (13, 'reminder', 'Reminder Dokumen Pending', '["jumlah", "jenis_izin", "nama_pemohon", "waktu_pending", "link_dashboard"]', 5, 'reminder_dokumen_pending', 'reminder',
        'Pengingat: {{jumlah}} dokumen belum diproses, antara lain {{jenis_izin}} atas nama {{nama_pemohon}}, tertunda {{waktu_pending}}. Buka {{link_dashboard}}.'),
    (14, 'izin_reminder', 'Reminder Dokumen Pending (Utility)', '["staff_name", "permit_type", "applicant_name", "pending_since", "pending_duration"]', 5, 'izin_reminder', 'reminder',
        'Yth. {{staff_name}}, dokumen {{permit_type}} atas nama {{applicant_name}} belum diproses sejak {{pending_since}} ({{pending_duration}}).'),
    (15, 'meta_opt_in_request', 'Request Meta Opt-In', '["partner_name", "opt_in_link", "qr_code_link"]', 3, null, 'meta_opt_in',
        'Yth. {{partner_name}}, untuk menerima pemberitahuan izin melalui WhatsApp resmi silakan buka {{opt_in_link}} atau pindai {{qr_code_link}}.')
) as t (id, template_key, name, parameters, n, meta, gateway, body);
insert into ir_model_data (module, name, model, res_id, noupdate)
select 'sicantik_whatsapp', 'master_template_' || case template_key when 'meta_opt_in_request' then 'meta_opt_in' else template_key end,
    'sicantik.whatsapp.template.master', id, true
from sicantik_whatsapp_template_master;
