-- What the replaced module ships (six triggers), and what an office may have added: a rule of each recipient type, a
-- campaign, a blacklist entry as typed. Placeholders as in data.sql.
insert into sicantik_notification_trigger
    (id, name, code, active, sequence, description, model_id, model_name, trigger_type, state_field, state_from, state_to,
     cron_interval_number, cron_interval_type, condition_domain, rule_count, execution_count, create_date, write_date)
select t.id, jsonb_build_object('en_US', t.name, 'id_ID', t.name), t.code, true, t.id * 10, t.description, m.id, t.model, t.kind, 'state',
    t.state_from, t.state_to, 1, case t.kind when 'cron' then 'days' end, t.condition, 0, 0, {t0}, {t0}
from (values
    (1, 'permit_state_change', 'Status Izin Berubah', 'sicantik.permit', 'on_state_change', null, null, null,
        'Dijalankan ketika status izin berubah.'),
    (2, 'permit_expiring', 'Izin Mendekati Masa Berlaku', 'sicantik.permit', 'cron', null, null,
        '[(''expiry_date'', ''<='', (datetime.now() + timedelta(days=30)).strftime(''%Y-%m-%d''))]',
        'Dijalankan setiap hari untuk izin yang hampir habis masa berlakunya.'),
    (3, 'document_uploaded', 'Dokumen Baru Diupload', 'sicantik.document', 'on_state_change', 'draft', 'uploaded', null,
        'Dijalankan ketika dokumen baru diunggah.'),
    (4, 'document_pending_signature', 'Dokumen Perlu Ditandatangani', 'sicantik.document', 'on_state_change', null, 'pending_signature', null,
        'Dijalankan ketika dokumen menunggu tanda tangan.'),
    (5, 'document_signed', 'Dokumen Sudah Ditandatangani', 'sicantik.document', 'on_state_change', null, 'signed', null,
        'Dijalankan ketika dokumen selesai ditandatangani.'),
    (6, 'document_pending_reminder', 'Reminder Dokumen Pending', 'sicantik.document', 'cron', null, null,
        '[(''state'', ''='', ''pending_signature''), (''create_date'', ''<'', (datetime.now() - timedelta(hours=24)).strftime(''%Y-%m-%d %H:%M:%S''))]',
        'Dijalankan setiap hari untuk dokumen yang tertunda lebih dari 24 jam.')
) as t (id, code, name, model, kind, state_from, state_to, condition, description)
join ir_model m on m.model = t.model;
insert into ir_model_data (module, name, model, res_id, noupdate)
select 'sicantik_notification_automation', 'trigger_' || code, 'sicantik.notification.trigger', id, true from sicantik_notification_trigger;

insert into sicantik_notification_rule
    (id, name, active, sequence, trigger_id, trigger_code, condition_domain, condition_python, template_key, template_master_id, recipient_type,
     recipient_domain, recipient_field, staff_group_id, official_group_id, schedule_type, scheduled_delay, batch_size, batch_interval,
     rate_limit_enabled, rate_limit_count, rate_limit_period, max_retries, retry_delay, respect_blacklist, context_preparation_code,
     execution_count, success_count, failed_count, create_date, write_date)
select r.id, jsonb_build_object('en_US', r.name, 'id_ID', r.name), true, r.id * 10, t.id, t.code, r.domain, r.python, r.template, m.id,
    r.recipient, r.recipient_domain, r.field, r.staff, r.official, r.schedule, 0, 100, 5, true, 100, 'hour', 3, 5, true, r.context, 0, 0, 0,
    {t0}, {t0}
from (values
    (1, 'Beritahu pemohon: izin selesai', 'permit_state_change', '[(''state'', ''='', ''approved'')]', null, 'permit_ready', 'partner',
        null, null, null::int, null::int, 'immediate', null),
    (2, 'Beritahu staf: dokumen menunggu', 'document_pending_signature', '[]', 'len(records) > 0', 'document_pending', 'staff',
        null, null, 10, null, 'immediate', null),
    (3, 'Beritahu pejabat: perlu persetujuan', 'document_pending_signature', '[]', null, 'approval_required', 'official',
        null, null, null, 11, 'scheduled', null),
    (4, 'Kabari pelaku usaha prioritas', 'document_signed', '[]', null, 'status_update', 'custom',
        '[(''category_id.name'', ''='', ''Priority'')]', null, null, null, 'immediate',
        'context = {''partner_name'': recipient.name, ''new_status'': record.state, ''update_date'': datetime.now().strftime(''%d-%m-%Y'')}'),
    (5, 'Ingatkan pemegang izin', 'permit_expiring', '[(''active'', ''='', True)]', null, 'permit_reminder', 'field',
        null, 'partner_id', null, null, 'batch', null)
) as r (id, name, trigger, domain, python, template, recipient, recipient_domain, field, staff, official, schedule, context)
join sicantik_notification_trigger t on t.code = r.trigger
left join sicantik_whatsapp_template_master m on m.template_key = r.template;
update sicantik_notification_trigger t set rule_count = n.count from (select trigger_id, count(*) from sicantik_notification_rule group by 1) n where n.trigger_id = t.id;

insert into sicantik_notification_campaign
    (id, name, rule_id, target_model, target_domain, template_key, state, total_targets, total_sent, total_failed, total_pending,
     progress_percentage, create_date, write_date)
values
    (1, 'Pengingat perpanjangan', 5, 'sicantik.permit',
     '[(''expiry_date'', ''<='', (datetime.now() + timedelta(days=30)).strftime(''%Y-%m-%d'')), (''status'', ''='', ''active'')]',
     'permit_reminder', 'draft', 0, 0, 0, 0, 0, {t0}, {t0}),
    (2, 'Pengumuman layanan', 5, 'sicantik.permit', '[]', 'status_update', 'running', 1, 0, 0, 1, 0, {t0}, {t0});
-- As the module writes it: a Python repr, not JSON.
insert into sicantik_notification_queue
    (id, name, rule_id, campaign_id, partner_id, partner_name, permit_id, template_key, context_values, scheduled_date, priority, state,
     retry_count, max_retries, is_blacklisted, create_date, write_date)
values
    (1, 'status_update - Budi Santoso', 5, 2, 10, 'Budi Santoso', 1, 'status_update',
     '{''partner_name'': ''Budi Santoso'', ''permit_number'': ''SIP/0001/2025'', ''aktif'': True, ''catatan'': None}',
     date_trunc('second', {t0}), 5, 'pending', 0, 3, false, {t0}, {t0});
insert into sicantik_notification_blacklist (id, phone_number, partner_id, reason, active, blocked_count, create_date, write_date) values
    (1, '081298765432', 26, 'Permintaan warga', true, 0, {t0}, {t0});
