-- What offices leave in the tables of the replaced module. Run as the owner of the host's tables.
alter table sicantik_notification_trigger drop constraint sicantik_notification_trigger_field_to_watch_fkey;
alter table sicantik_notification_trigger drop constraint sicantik_notification_trigger_model_id_fkey;

insert into sicantik_notification_trigger
    (id, name, code, active, sequence, model_id, model_name, trigger_type, state_field, state_from, state_to, field_to_watch, field_to_watch_name,
     cron_expression, cron_interval_number, cron_interval_type, condition_domain)
select t.id, t.name::jsonb, t.code, t.active, t.sequence, coalesce(m.id, 999999), t.model_name, t.kind, t.state_field, t.state_from, t.state_to, t.field,
       t.field_name, t.cron, t.number, t.type, t.domain
from (values
    -- The module's own notation of a schedule; NULL where Odoo writes none.
    (101, '{"en_US": "Daily", "id_ID": "Harian"}', 'daily', true, null::int, 'sicantik.permit', 'sicantik.permit', 'cron', null, null, null, null::int, null,
     '2,weeks', 1, 'days', '[(''state'', ''='', ''approved'')]'),
    (102, '{"en_US": "At seven"}', 'at_seven', true, 20, 'sicantik.permit', 'sicantik.permit', 'cron', 'state', null, null, null, null,
     '0 7 * * 1-5', null, null, null),
    (103, '{"en_US": "Words"}', 'words', true, 20, 'sicantik.permit', 'sicantik.permit', 'cron', 'state', null, null, null, null,
     'setiap hari jam 7 pagi', null, null, '[]'),
    -- A name that the host does not have, and the guide's own example.
    (104, '{"en_US": "Wrong name"}', 'wrong_name', true, 20, 'sicantik.permit', 'sicantik.permit', 'on_write', 'state', null, null, null, null,
     null, 1, null, '[(''colour'', ''='', ''red'')]'),
    (105, '{"en_US": "Own example"}', 'own_example', true, 20, 'sicantik.permit', 'sicantik.permit', 'on_create', 'state', null, null, null, null,
     null, 1, null, '[(''active'', ''='', True), (''state'', ''='', ''approved'')]'),
    -- No list at all.
    (106, '{"en_US": "No list"}', 'no_list', true, 20, 'sicantik.permit', 'sicantik.permit', 'on_create', 'state', null, null, null, null,
     null, 1, null, 'state = ''approved'''),
    -- A code that isalnum() lets pass.
    (107, '{"en_US": "Umlaut"}', 'izin_disetujuí²', null, 20, 'sicantik.permit', null, 'on_state_change', 'state', 'draft', 'approved', null, null,
     null, 1, null, null),
    -- Its model is gone; its field is gone.
    (108, '{"en_US": "No model"}', 'no_model', true, 20, 'gone.model', 'gone.model', 'on_create', 'state', null, null, null, null, null, 1, null, null),
    (109, '{"en_US": "No field"}', 'no_field', true, 20, 'sicantik.permit', 'sicantik.permit', 'on_field_change', 'state', null, null, 999999, null,
     null, 1, null, null),
    (110, '{"en_US": "No such status"}', 'no_status', true, 20, 'sicantik.permit', 'sicantik.permit', 'on_state_change', 'state', null, 'issued', null, null,
     null, 1, null, null)
) as t (id, name, code, active, sequence, model, model_name, kind, state_field, state_from, state_to, field, field_name, cron, number, type, domain)
left join ir_model m on m.model = t.model;

insert into sicantik_notification_rule
    (id, name, active, sequence, trigger_id, condition_domain, condition_python, template_key, recipient_type, recipient_domain, recipient_field,
     staff_group_id, official_group_id, schedule_type, scheduled_delay, batch_size, batch_interval, rate_limit_enabled, rate_limit_count,
     rate_limit_period, max_retries, retry_delay, respect_blacklist, context_preparation_code)
values
    -- Nothing but what Odoo requires.
    (101, '{"en_US": "Bare"}', true, null, 105, null, null, 'permit_ready', 'partner', null, null, null, null, 'immediate', null, null, null, null, null,
     null, null, null, null, null),
    (102, '{"en_US": "Bare"}', true, 20, 101, '[''|'', (''active'', ''='', True), (''expiry_date'', ''<'', datetime.now().strftime(''%Y-%m-%d''))]', null,
     'permit_reminder', 'partner', null, null, null, null, 'batch', 0, 0, -5, true, 0, 'week', 3, 5, true, null),
    (103, '{"en_US": "No template"}', true, 20, 101, null, null, 'no_such_template', 'partner', null, null, null, null, 'immediate', 0, 100, 5, true, 100,
     'hour', 3, 5, true, null),
    (104, '{"en_US": "No group"}', true, 20, 101, null, null, 'reminder', 'staff', null, null, null, null, 'immediate', 0, 100, 5, true, 100, 'hour', 3, 5,
     true, null),
    (105, '{"en_US": "Context"}', true, 20, 105, null, null, 'permit_ready', 'partner', null, null, null, null, 'immediate', 0, 100, 5, true, 100, 'hour', 3, 5,
     true, E'context = {\n    ''partner_name'': record.partner_id.nmae,\n}'),
    (106, '{"en_US": "Orphan"}', true, 20, 108, null, null, 'permit_ready', 'partner', null, null, null, null, 'immediate', 0, 100, 5, true, 100, 'hour', 3, 5,
     true, null),
    (107, '{"en_US": "Tepat", "id_ID": "Beritahu: izin disetujui"}', true, 20, 107, null, 'record.state == ''approved''', 'permit_ready', 'partner', null,
     null, null, null, 'immediate', 0, 100, 5, true, 100, 'hour', 3, 5, true, null);

insert into sicantik_notification_campaign (id, name, rule_id, target_model, target_domain, state) values
    (101, 'Selesai', 101, 'sicantik.permit', '[]', 'completed'),
    (102, 'Tanpa model', 101, 'gone.model', '[]', 'draft');

insert into sicantik_notification_blacklist (id, phone_number, reason, active, create_date) values
    (101, '+62 812-9876-5432', 'Keluhan lama', true, '2020-01-01'),
    (102, '0813 1111 2222', 'Salah sambung', true, '2021-01-01'),
    (103, '6281311112222', 'Yang kedua', true, '2022-01-01'),
    (104, 'tanya pak Budi', null, true, '2022-01-01'),
    (105, '12345678', null, true, '2022-01-01'),
    (106, '081344445555', 'Sudah boleh lagi', false, '2022-01-01');

insert into sicantik_whatsapp_template_master
    (id, template_key, name, body_preview, parameter_list, language, active, meta_template_name, meta_status)
values
    (101, 'kantor_tutup', 'Kantor Tutup', 'Yth. {{partner_name}}, kantor tutup pada {{tanggal}}.', 'partner_name, tanggal', 'id', true, null, 'not_configured'),
    (102, 'ulang tahun', 'Ulang Tahun', 'Selamat, {{partner_name}}.', '[]', 'id', true, null, null),
    (103, 'python_list', 'Daftar Python', 'Yth. {{partner_name}}.', '[''partner_name'']', 'id', true, 'daftar_python', 'approved');

insert into sicantik_whatsapp_provider
    (id, name, sequence, active, provider_type, fonnte_api_url, fonnte_token, fonnte_secret, watzap_base_url, watzap_api_key)
values
    (101, 'Fonnte Karo', null, true, 'fonnte', 'https://api.fonnte.com/send', ' fixture-second-token ', 'fixture-fonnte-secret', null, null),
    (102, 'Twilio', 50, true, 'twilio', null, null, null, null, null),
    (103, 'Watzap Kosong', 60, false, 'watzap', null, null, null, 'https://api.watzap.id/v1', null);
